"""What the figures of an evaluation need to know of the datasets that models were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from alpaqual.evaluation.values import TrainedDataset
from alpaqual.recipe.model import Dataset, Like


def trained_datasets(
    datasets: Mapping[str, Dataset], trained: Sequence[str], rows: Mapping[str, int]
) -> dict[str, TrainedDataset]:
    """Return the trained datasets of a recipe, by name; `rows` has the rows of each.

    A dataset that no other is named `from`, and that chooses rows, is a part of the one that has all rows, where that is trained.
    """
    return {
        name: TrainedDataset(
            rows.get(name, 0),
            part_of=next((each for each in _larger(name, datasets) if each in trained), None),
            control=_control(name, datasets, trained, rows),
            needs_control=_is_chosen(name, datasets),
        )
        for name in trained
    }


def _line(name: str, datasets: Mapping[str, Dataset]) -> Iterator[str]:
    """The dataset and those that it is selected from, in that order."""
    current: str | None = name
    while current is not None:
        yield current
        current = datasets[current].from_


def _larger(name: str, datasets: Mapping[str, Dataset]) -> Iterator[str]:
    yield from list(_line(name, datasets))[1:]
    if not _has_all_rows(datasets[name]):
        yield from (each for each, dataset in datasets.items() if _has_all_rows(dataset))


def _has_all_rows(dataset: Dataset) -> bool:
    return not dataset.threshold and not dataset.quotas and dataset.from_ is None and dataset.sample is None


def _is_chosen(name: str, datasets: Mapping[str, Dataset]) -> bool:
    """Whether scores or quotas choose its rows."""
    return any(datasets[each].threshold or datasets[each].quotas for each in _line(name, datasets))


def _control(name: str, datasets: Mapping[str, Dataset], trained: Sequence[str], rows: Mapping[str, int]) -> str | None:
    """The dataset drawn at random with as many rows: one that is drawn `like` it, then one that has its size; trained ones first."""
    if not _is_chosen(name, datasets):
        return None
    random = [
        each for each, dataset in datasets.items() if dataset.sample is not None and not _is_chosen(each, datasets)
    ]
    random.sort(key=lambda each: each not in trained)
    like = [each for each in random if _is_like(datasets[each], name)]
    same_size = [each for each in random if each in trained and rows.get(each) == rows.get(name, 0)]
    return next(iter([*like, *same_size]), None)


def _is_like(dataset: Dataset, name: str) -> bool:
    return isinstance(dataset.sample, Like) and dataset.sample.like == name
