"""What a recipe says about the file of a dataset: its kind, the format of its rows, and how the rows are split."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

from msgspec import Struct

from alpaqual.amounts import exact
from alpaqual.errors import Problem
from alpaqual.recipe.model import Dataset
from alpaqual.recipe.yaml_nodes import Document, Path

TRAIN = "train"
"""The split that training reads."""
EVALUATED = ("validation", "test")
"""The split whose loss training measures is the first of these that a dataset has."""
_OPTIONS = ("by", "group", "seed")
_SPLIT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)


class Split(Struct, frozen=True):
    """Shares of the rows of a dataset by name, in the order written."""

    shares: tuple[tuple[str, Fraction], ...]
    by: str | None = None
    """Column or category whose values keep the shares."""
    group: str | None = None
    """Column whose values stay whole; None for rows of one prompt."""
    seed: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the splits."""
        return tuple(name for name, _ in self.shares)


def split_of(dataset: Dataset) -> Split | None:
    """The splits of a dataset; None where it is whole."""
    given = dataset.split
    if not given:
        return None
    shares = [(name, exact(float(share))) for name, share in given.items() if name not in _OPTIONS]
    by, group = (given.get(option) for option in ("by", "group"))
    return Split(
        shares=tuple(shares),
        by=None if by is None else str(by),
        group=None if group is None else str(group),
        seed=int(given.get("seed", 0)),
    )


def is_written(dataset: Dataset) -> bool:
    """Whether a dataset has a file other than the JSON Lines of its selection."""
    return bool(dataset.format or dataset.file != "jsonl" or dataset.split)


def file_name(dataset_name: str, kind: str, split: str | None = None) -> str:
    """The name of a dataset's file of a kind, or of that of a split. A folder has a folder of each split."""
    if kind == "datasets":
        return dataset_name if split is None else f"{dataset_name}/{split}"
    return f"{dataset_name}.{split}.{kind}" if split is not None else f"{dataset_name}.{kind}"


def check_dataset_files(datasets: Mapping[str, Dataset], document: Document) -> Iterator[Problem]:
    """Yield what is wrong with the splits of each dataset, and each file that two datasets would have."""
    places: dict[str, str] = {}
    for name, dataset in datasets.items():
        yield from _split(dataset, document, ("datasets", name, "split"))
        if dataset.push_to_hub is not None and dataset.file == "datasets":
            message = (
                "`load_dataset` opens no folder of `save_to_disk` on the Hub: write file: parquet, or leave 'file' out"
            )
            yield document.problem(("datasets", name, "push_to_hub"), message)
        splits = [each for each in dataset.split if each not in _OPTIONS] if dataset.file != "datasets" else []
        files = [file_name(name, dataset.file, each) for each in splits or (None,)]
        for file in files:
            if (other := places.setdefault(file, name)) != name:
                message = f"the datasets '{other}' and '{name}' would both have the file {file}: rename one"
                yield document.problem(("datasets", name), message, at_key=True)


def _split(dataset: Dataset, document: Document, place: Path) -> Iterator[Problem]:
    if not dataset.split:
        return
    total = Fraction(0)
    for name, value in dataset.split.items():
        if name in _OPTIONS:
            yield from _option(name, value, document, (*place, name))
        elif not _SPLIT_NAME.match(name):
            message = f"'{name}' is no name of a split: use letters, digits and _, and start with a letter"
            yield document.problem((*place, name), message, at_key=True)
        elif isinstance(value, str) or not 0 < value <= 1:
            yield document.problem(
                (*place, name), f"the share of '{name}' is a number above 0 and up to 1, not {value}"
            )
            return
        else:
            total += exact(value)
    if not any(name not in _OPTIONS for name in dataset.split):
        yield document.problem(place, "the split names no shares: write {train: 0.9, test: 0.1}")
    elif total != 1:
        yield document.problem(place, f"the shares add up to {float(total):.12g}, not to 1")


def _option(name: str, value: float | str, document: Document, place: Path) -> Iterator[Problem]:
    if name == "seed":
        if isinstance(value, str) or not value.is_integer():
            yield document.problem(place, f"'seed' is a whole number, not {value}")
    elif not isinstance(value, str) or not value:
        yield document.problem(place, f"'{name}' is the name of a column, not {value}")
