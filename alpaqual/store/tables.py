"""Tables of a finished run as Arrow, polars, pandas or plain rows; and rows with the reasons for their fates."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpaqual.engines import viewing
from alpaqual.errors import StageError
from alpaqual.quote import literal
from alpaqual.store import frames
from alpaqual.store.typed_rows import pyarrow as pyarrow_package
from alpaqual.store.typed_rows import table_of

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


@dataclass(frozen=True)
class Rows:
    """A table in a file; a dataset that is split has a file for each split, and `path` is the folder of all."""

    path: Path
    splits: Mapping[str, Path] = field(default_factory=dict)

    def split(self, name: str) -> Rows:
        """The rows of one split of a dataset.

        Raises KeyError where there is none of that name.
        """
        if name not in self.splits:
            there = f"there are: {', '.join(self.splits)}" if self.splits else "the dataset has no splits"
            raise KeyError(f"no split '{name}'; {there}")
        return type(self)(self.splits[name])

    def polars(self) -> polars.DataFrame:
        """As a polars frame. Of a dataset with splits, it has the rows of all.

        Raises MachineError without polars.
        """
        frames.require("polars")
        import polars as pl

        files = self._files
        if files[0].suffix == ".parquet":
            return pl.concat([pl.read_parquet(file, glob=False) for file in files])
        frames.require("pyarrow")
        frame = pl.from_arrow(_table(files))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def arrow(self) -> pyarrow.Table:
        """As an Arrow table.

        Raises MachineError without pyarrow.
        """
        frames.require("pyarrow")
        return self.polars().to_arrow()

    def pandas(self) -> pandas.DataFrame:
        """As a pandas frame.

        Raises MachineError without pandas.
        """
        frames.require("pandas", "pyarrow")
        return self.polars().to_pandas()

    def first(self, count: int) -> list[dict[str, Any]]:
        """The first rows, `count` at most, in the order of the file."""
        files = self._files
        if files[0].suffix == ".jsonl":
            return [json.loads(line) for line in itertools.islice(_all_lines(files), count)]
        if files[0].suffix == ".arrow":
            found: list[dict[str, Any]] = _table(files).slice(0, count).to_pylist()
            return found
        with viewing({}) as engine:
            engine.view("shown", files)
            return engine.facts(f"SELECT * FROM shown LIMIT {count}", "first rows")

    @property
    def exists(self) -> bool:
        """Whether its files are there."""
        files = self._files
        return bool(files) and all(file.is_file() for file in files)

    def __len__(self) -> int:
        files = self._files
        if files[0].suffix == ".jsonl":
            return sum(_lines_of(file) for file in files)
        if files[0].suffix == ".arrow":
            return int(_table(files).num_rows)
        with viewing({}) as engine:
            engine.view("counted", files)
            return int(engine.facts("SELECT COUNT(*) AS rows FROM counted", "counting")[0]["rows"])

    @property
    def _files(self) -> list[Path]:
        """The files; a folder that the datasets library opens has Arrow files."""
        places = list(self.splits.values()) or [self.path]
        return [
            file for place in places for file in (sorted(place.glob("data-*.arrow")) if place.is_dir() else [place])
        ]


def _all_lines(files: Sequence[Path]) -> Iterator[bytes]:
    for file in files:
        with file.open("rb") as lines:
            yield from lines


def _lines_of(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _table(files: Sequence[Path]) -> Any:
    """The rows of files of JSON Lines or of Arrow as one Arrow table."""
    if files[0].suffix == ".jsonl":
        return table_of(files)
    arrow = pyarrow_package()
    tables = []
    for file in files:
        with file.open("rb") as stream, arrow.ipc.open_stream(stream) as reader:
            tables.append(reader.read_all())
    return arrow.concat_tables(tables)


def read_rows(  # noqa: PLR0913 - one argument per filter
    folder: Path,
    *,
    dataset: str | None = None,
    category: str | None = None,
    fate: str | None = None,
    rule: str | None = None,
    row_id: str | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Rows of a run that match every given filter, with their fate, all reasons, scores and categories, in the order of ids.

    `row_id` may be the start of an id, or the data's own id. Without a `dataset`, a row is returned once for each dataset. `limit` is the most rows.
    Raises StageError where the run has no such tables.
    """
    tables = {
        table: folder / "tables" / f"{table}.parquet"
        for table in ("rows", "fates", "grades", "turn_grades", "row_categories", "failures")
    }
    present = {table: path for table, path in tables.items() if path.is_file()}
    if not {"rows", "fates"} <= present.keys():
        raise StageError(f"{folder} holds no finished run; run its recipe first: alpaqual run RECIPE")
    where = [
        f"{column} = {literal(value)}"
        for column, value in (("fates.dataset", dataset), ("fates.fate", fate))
        if value is not None
    ]
    for table, column, value in (("row_categories", "category", category), ("failures", "rule", rule)):
        if value is not None:
            where.append(
                f"rows.n IN (SELECT n FROM {table} WHERE {column} = {literal(value)})" if table in present else "FALSE"
            )
    with viewing(present) as engine:
        own = _OWN_ID in engine.columns("rows")
        raw = "grades" in present and "raw" in engine.columns("grades")
        if row_id is not None:
            where.append(_has_id(literal(row_id), own=own))
        found = engine.facts(_select(present, where, limit, own=own, raw=raw), "rows")
    for row in found if own else ():
        row[_OWN_ID] = None if row[_OWN_ID] is None else json.loads(row[_OWN_ID])
    return found


def _has_id(wanted: str, *, own: bool) -> str:
    """SQL: whether a row has an id. The start of a row id counts where no row has the id itself."""
    started = f"STARTS_WITH(rows.id, {wanted})"
    if not own:
        return started
    exact = f"{_OWN_ID} = {wanted} OR id = {wanted}"
    return f"(rows.{_OWN_ID} = {wanted} OR rows.id = {wanted} OR {started} AND NOT EXISTS (SELECT 1 FROM rows AS every WHERE {exact}))"


_OWN_ID = "own_id"
"""Column of `rows` with the data's own id as text, and its key in what is returned."""


def _select(present: dict[str, Path], where: Sequence[str], limit: int | None, *, own: bool, raw: bool) -> str:
    columns = [
        "rows.id",
        *([f"rows.{_OWN_ID}_json AS {_OWN_ID}"] if own else []),
        "fates.dataset",
        "fates.fate",
        "fates.reasons",
    ]
    if "grades" in present:
        scores = (
            "SELECT MAP(LIST(grader ORDER BY grader), LIST(score ORDER BY grader)) FROM grades WHERE grades.n = rows.n"
        )
        columns.append(f"({scores}) AS scores")
        if raw:
            before = "SELECT MAP(LIST(grader ORDER BY grader), LIST(raw ORDER BY grader)) FROM grades WHERE grades.n = rows.n AND raw IS NOT NULL"
            columns.append(f"({before}) AS raw_scores")
        said = "SELECT MAP(LIST(grader ORDER BY grader), LIST(reply ORDER BY grader)) FROM grades WHERE grades.n = rows.n AND reply IS NOT NULL"
        columns.append(f"({said}) AS replies")
    if "turn_grades" in present:
        turn = "STRUCT_PACK(turn := turn, score := score, reason := reason)"
        listed = f"SELECT grader, LIST({turn} ORDER BY turn) AS turns FROM turn_grades WHERE turn_grades.n = rows.n GROUP BY grader"
        scores = f"SELECT MAP(LIST(grader ORDER BY grader), LIST(turns ORDER BY grader)) FROM ({listed}) AS listed"
        columns.append(f"({scores}) AS turn_scores")
    if "row_categories" in present:
        columns.append(
            "(SELECT LIST(DISTINCT category ORDER BY category) FROM row_categories WHERE row_categories.n = rows.n) AS categories"
        )
    if "failures" in present:
        columns.append(
            "(SELECT LIST(DISTINCT rule ORDER BY rule) FROM failures WHERE failures.n = rows.n) AS failed_rules"
        )
    columns += ["rows.source", "rows.instruction", "rows.input", "rows.response"]
    chosen = f"SELECT rows.n AS n, fates.dataset AS dataset FROM rows JOIN fates USING (n){' WHERE ' + ' AND '.join(where) if where else ''}"
    chosen += " ORDER BY rows.id, fates.dataset" + (f" LIMIT {limit}" if limit is not None else "")
    return (
        f"WITH chosen AS MATERIALIZED ({chosen})\nSELECT {', '.join(columns)} FROM chosen JOIN rows USING (n) "
        "JOIN fates ON fates.n = chosen.n AND fates.dataset = chosen.dataset ORDER BY rows.id, fates.dataset"
    )


def failing_examples(folder: Path, rules: Sequence[str], each: int) -> dict[str, list[dict[str, Any]]]:
    """The first failing rows of each rule, in the order of ids: id, column, value, and own_id where the data has ids of its own."""
    with viewing({table: folder / "tables" / f"{table}.parquet" for table in ("failures", "rows")}) as engine:
        own = f", (SELECT {_OWN_ID} FROM rows WHERE rows.n = failures.n) AS {_OWN_ID}"
        columns = f'id, "column", value{own if _OWN_ID in engine.columns("rows") else ""}'
        return {
            rule: engine.facts(
                f'SELECT {columns} FROM failures WHERE rule = {literal(rule)} ORDER BY id, "column" LIMIT {each}',
                "examples",
            )
            for rule in rules
        }
