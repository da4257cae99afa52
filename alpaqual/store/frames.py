"""Frames that enter the store (imported scores, grades that a model gave), validated by pandera first.

pandera checks frames in memory: eager polars, schema and data. Its other backends lose failures (docs/decisions/0003).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from alpaqual.errors import MachineError, StageError
from alpaqual.values import Grade


def grades_schema(low: float, high: float) -> Any:
    """What grades must be: one for each row, a score on the scale or a reason, never both, never neither."""
    pa = pandera_polars()

    def one_of_both(data: Any) -> Any:
        return data.lazyframe.select(polars().col("score").is_null() != polars().col("reason").is_null())

    return pa.DataFrameSchema(
        {
            "grader": pa.Column(str),
            "n": pa.Column(int, unique=True),
            "id": pa.Column(str, pa.Check.str_length(min_value=16)),
            "score": pa.Column(float, [pa.Check.in_range(low, high), _no_nan(pa)], nullable=True),
            "reason": pa.Column(str, nullable=True),
            "reply": pa.Column(str, nullable=True),
        },
        checks=pa.Check(one_of_both, error="a score or a reason"),
        strict=True,
        name="grades",
    )


def imported_schema() -> Any:
    """What an imported table of scores must be: a key that is there and stands for one row, and a number or nothing."""
    pa = pandera_polars()
    columns = {"key": pa.Column(str, unique=True), "score": pa.Column(float, nullable=True)}
    return pa.DataFrameSchema(columns, strict=True, name="imported scores")


class GradeParts:
    """Grades of one grader on their way into a folder of Parquet files, each validated before it is written.

    A grade is (row number, row id, Grade); what is not written yet is all that is in memory.
    """

    def __init__(self, grader: str, folder: Path, low: float, high: float) -> None:
        self.grader = grader
        self.folder = folder
        self.scale = (low, high)
        self.grades: list[tuple[str, int, str, float | None, str | None, str | None]] = []
        self.files = 0
        folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self.grades)

    @cached_property
    def schema(self) -> Any:
        """Made when first needed, or in another thread before: pandera takes a second to be imported."""
        return grades_schema(*self.scale)

    def add(self, n: int, row_id: str, grade: Grade) -> None:
        """Take one grade."""
        self.grades.append((self.grader, n, row_id, grade.score, grade.reason, grade.reply))

    def write(self) -> None:
        """Validate what was added since, and write it; the first file is there even where it is empty.

        Raises StageError where one of them is not what a grade must be.
        """
        if not self.grades and self.files:
            return
        pl = polars()
        kinds = {"grader": pl.String, "n": pl.Int64, "id": pl.String, "score": pl.Float64}
        kinds |= {"reason": pl.String, "reply": pl.String}
        frame = pl.DataFrame(self.grades, schema=kinds, orient="row")
        validate(frame, self.schema)
        self.files += 1
        frame.write_parquet(self.folder / f"{self.files:06}.parquet")
        self.grades = []


def write_imported(batches: Iterator[list[tuple[Any, ...]]], path: Path, shown: str) -> None:
    """Validate imported scores (key, score) and write them as Parquet.

    Raises StageError that names the file and what is wrong with it.
    """
    pl = polars()
    rows = [row for batch in batches for row in batch]
    frame = pl.DataFrame(rows, schema={"key": pl.String, "score": pl.Float64}, orient="row")
    try:
        validate(frame, imported_schema())
    except StageError as error:
        raise StageError(f"{shown}: {error}") from None
    # Without statistics: they leave NaN out, and a query that trusts them takes NaN for a number on the scale.
    frame.write_parquet(path, statistics=False)


def validate(frame: Any, schema: Any) -> None:
    """Every check over every row.

    Raises StageError that counts the failures of each check; values of rows are not quoted.
    """
    pa = pandera_polars()
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        counts: dict[str, int] = {}
        for case in error.failure_cases.select("column", "check").iter_rows():
            label = f"{case[0] or 'row'}: {case[1]}"
            counts[label] = counts.get(label, 0) + 1
        found = "; ".join(f"{label} ({count})" for label, count in sorted(counts.items()))
        raise StageError(f"{schema.name} are not valid: {found}") from None


def _no_nan(pa: Any) -> Any:
    return pa.Check(lambda data: data.lazyframe.select(polars().col(data.key).is_not_nan()), error="is a number")


def polars() -> Any:
    """The polars package, imported when first needed."""
    import polars

    return polars


def pandera_polars() -> Any:
    """pandera with its polars backend, ready to check data and not only types.

    Raises MachineError where the environment switches validation off: a check that is off passes everything.
    """
    if os.environ.get("PANDERA_VALIDATION_ENABLED", "true").lower() in ("false", "0"):
        raise MachineError(
            "PANDERA_VALIDATION_ENABLED is off, and with it every check of frames: unset it and run again"
        )
    os.environ.setdefault("PANDERA_VALIDATION_DEPTH", "SCHEMA_AND_DATA")
    os.environ.setdefault("DISABLE_PANDERA_IMPORT_WARNING", "True")
    import pandera.polars as pa

    return pa
