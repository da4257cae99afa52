"""The stages `writing.<dataset>`: the files of datasets that the recipe wants in another format, of another kind, or split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from alpaqual.plan.categorizing import CategorizeStage
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.facts import StageFacts, WriteFacts
from alpaqual.plan.loading import LoadStage, scan_of
from alpaqual.plan.selecting import SelectStage
from alpaqual.plan.source_columns import own_value
from alpaqual.plan.splitting import group_text, in_category, kept_rows, split_rows
from alpaqual.plan.stage import Stage, TemporaryTable
from alpaqual.plan.tables import splits
from alpaqual.recipe.dataset_files import Split, is_written, split_of
from alpaqual.recipe.model import Dataset
from alpaqual.recipe.schema_errors import suggest
from alpaqual.sources import open_source
from alpaqual.values import ROW_FIELDS, Scan, SourceFacts

_VERSION = 1
"""Raised when the same rows give another file: part of fingerprints."""


@dataclass(frozen=True)
class RecordScan:
    """A source that is read again."""

    scan: Scan
    columns: tuple[str, ...]
    """Columns of a record of typed files."""
    binary: frozenset[str]
    """Those of them that hold bytes."""


@dataclass(frozen=True)
class RecordReading:
    """What is read of the sources again, for the rows of a dataset: their records as they are, or single columns."""

    sources: tuple[RecordScan, ...]
    whole: bool
    group: str | None
    stratum: str | None
    kept: str
    """The query of the row numbers `n`, in order."""


@dataclass(frozen=True, kw_only=True)
class WriteStage(Stage):
    """Writes the file of one dataset, or one for each of its splits."""

    kind: ClassVar[str] = "writing"
    facts: ClassVar[type[StageFacts]] = WriteFacts
    dataset: str
    format: str | None
    file: str
    splits: tuple[str, ...]
    records: RecordReading | None
    """None where the rows that were loaded have everything."""

    @property
    def subject(self) -> str:
        return self.dataset


def write_stages(compilation: Compilation) -> Iterator[WriteStage]:
    """A stage for each dataset whose file is not the JSON Lines that its selection leaves."""
    for dataset_name, dataset in compilation.recipe.datasets.items():
        if is_written(dataset):
            yield _Writing(compilation, dataset_name, dataset).stage()


class _Writing:
    def __init__(self, compilation: Compilation, dataset_name: str, dataset: Dataset) -> None:
        self.compilation = compilation
        self.called = dataset_name
        self.dataset = dataset
        self.split = split_of(dataset)
        self.columns: dict[str, str] = {}
        """Columns of the data that the split names: `grouped` and `stratum`."""
        self.category = False

    def stage(self) -> WriteStage:
        dataset, split = self.dataset, self.split
        sql = None if split is None else self.split_sql(split)
        whole = dataset.format == "source"
        if sql is None and whole:
            sql = f"SELECT n, id, CAST(NULL AS VARCHAR) AS split FROM ({kept_rows(self.called)}) AS kept JOIN rows USING (n)"
        settings: dict[str, Any] = {"version": _VERSION, "format": dataset.format, "file": dataset.file}
        inputs: list[tuple[type[Stage], str]] = [(SelectStage, self.called)]
        inputs += [(LoadStage, "")] if sql is not None else []
        inputs += [(CategorizeStage, "")] if self.category else []
        return WriteStage(
            dataset=self.called,
            format=dataset.format,
            file=dataset.file,
            splits=() if split is None else split.names,
            records=self.records(whole) if whole or self.columns else None,
            settings=settings if split is None else {**settings, "split": dict(dataset.split)},
            inputs=self.compilation.inputs(*inputs),
            statements=() if sql is None else (TemporaryTable(splits(self.called), sql),),
        )

    def split_sql(self, split: Split) -> str:
        talks = any(facts.is_conversation for facts in self.compilation.sources)
        group = None if split.group is None else self.column("group", split.group)
        stratum = None if split.by is None else self.column("by", split.by)
        return split_rows(
            self.called,
            split,
            group=group_text(group, conversations=talks),
            stratum=stratum,
            records=bool(self.columns),
        )

    def column(self, option: str, column: str) -> str | None:
        """SQL of the text of a column, or of a category; notes the problem where the data has no such column."""
        columns = self.compilation.columns
        if own_value(column) is not None or columns.is_mapped(column):
            return f"CAST({columns.sql(column)} AS VARCHAR)"
        data = columns.data_column(column)
        if data is not None:
            stored = "grouped" if option == "group" else "stratum"
            self.columns[stored] = data
            return f"records.{stored}"
        categories = [each.category for each in self.compilation.recipe.categories if each.category]
        if option == "by" and column in categories:
            self.category = True
            return in_category(column)
        what = "no column of a source and no category is called" if option == "by" else "no source has a column"
        categories = categories if option == "by" else []
        known = dict.fromkeys(each for facts in self.compilation.sources for each in facts.columns)
        hint = (
            suggest(column, [*known, *categories])
            or f"; there are: {', '.join(dict.fromkeys([*ROW_FIELDS, *known, *categories]))}"
        )
        place = ("datasets", self.called, "split", option)
        self.compilation.problems.append(self.compilation.recipe.problem(place, f"{what} '{column}'{hint}"))
        return None

    def records(self, whole: bool) -> RecordReading:
        columns = tuple(dict.fromkeys(self.columns.values()))
        return RecordReading(
            sources=tuple(_record_scan(facts, columns, whole) for facts in self.compilation.sources),
            whole=whole,
            group=self.columns.get("grouped"),
            stratum=self.columns.get("stratum"),
            kept=f"SELECT n FROM ({kept_rows(self.called)}) AS kept ORDER BY n",
        )


def _record_scan(facts: SourceFacts, columns: tuple[str, ...], whole: bool) -> RecordScan:
    """The files of a source with these columns; with `whole`, also with all that its files have."""
    given = {column for file in facts.files for column, _ in file.partitions}
    own = tuple(column for column in facts.columns if column not in given) if whole else ()
    wanted = tuple(column for column in dict.fromkeys((*own, *columns)) if column in facts.columns)
    scan = scan_of(facts, open_source(facts.format, facts.options), wanted)
    return RecordScan(scan, own, frozenset(column for column in own if facts.columns[column] == "BLOB"))
