"""Scores and grades that enter the store, validated first: imported tables, and what models gave.

Every check runs over every row. The checks have pandera's names, and tests compare them with pandera's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alpaqual.contracts import Engine
from alpaqual.engines import open_engine
from alpaqual.errors import MachineError, StageError
from alpaqual.quote import literal, name
from alpaqual.values import Grade

_KEY = {"grader": "VARCHAR", "n": "BIGINT", "id": "VARCHAR"}
_TEXTS = {"reason": "VARCHAR", "reply": "VARCHAR"}
_IMPORTED = {
    "key: field_uniqueness": "COUNT(*) OVER (PARTITION BY key) > 1",
    "key: not_nullable": "key IS NULL",
}

_SHOWN_KEYS = 3
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class ScoreColumn:
    """A column of scores from `low` to `high`; with `spread`, another column has how far the samples of a row are apart."""

    column: str
    low: float
    high: float
    spread: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns in a table of grades."""
        return (self.column, self.spread) if self.spread else (self.column,)

    @property
    def checks(self) -> dict[str, str]:
        """The SQL condition of an invalid score, by the label of its check."""
        score = self.column if self.column.isalpha() else name(self.column)
        return {
            f"grades: a {self.column} or a reason": f"({score} IS NULL) = (reason IS NULL)",
            f"{self.column}: in_range({self.low}, {self.high})": f"NOT {score} BETWEEN {literal(self.low)} AND {literal(self.high)}",
            f"{self.column}: is a number": f"ISNAN({score})",
        }


def grade_checks(low: float, high: float, key: str = "n") -> dict[str, str]:
    """The SQL condition of an invalid grade, by the label of its check; `key` lists the columns that no two grades share."""
    return _checks([ScoreColumn("score", low, high)], key)


def _checks(scores: Sequence[ScoreColumn], key: str) -> dict[str, str]:
    return {
        "grader: not_nullable": "grader IS NULL",
        "id: not_nullable": "id IS NULL",
        "id: str_length(16, None)": "LENGTH(id) < 16",
        f"{key}: field_uniqueness": f"COUNT(*) OVER (PARTITION BY {key}) > 1",
        "n: not_nullable": "n IS NULL",
        **{label: condition for score in scores for label, condition in score.checks.items()},
    }


class GradeParts:
    """Grades of one grader on their way into a folder of Parquet files, each validated before it is written.

    A grade is (row number, row id, Grade), with `turns` of a turn of the row; `scores` are its columns where it is not one score
    from `low` to `high`. Those that are not written yet are in memory. Raises MachineError where the environment switches
    validation off.
    """

    def __init__(
        self,
        grader: str,
        folder: Path,
        low: float,
        high: float,
        *,
        turns: bool = False,
        scores: Sequence[ScoreColumn] = (),
    ) -> None:
        require_validation()
        self.grader = grader
        self.folder = folder
        self.turns = turns
        self.scores = scores or [ScoreColumn("score", low, high)]
        self.checks = _checks(self.scores, "n, turn" if turns else "n")
        numbers = dict.fromkeys((column for score in self.scores for column in score.columns), "DOUBLE")
        self.kinds = {**_KEY, **({"turn": "BIGINT"} if turns else {}), **numbers, **_TEXTS}
        self.grades: list[tuple[str | int | float | None, ...]] = []
        self.files = 0
        folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self.grades)

    def add(self, n: int, row_id: str, grade: Grade, turn: int = 0) -> None:
        """Take one grade."""
        placed = (n, row_id, turn) if self.turns else (n, row_id)
        self.grades.append((self.grader, *placed, *self._numbers(grade), grade.reason, grade.reply))

    def _numbers(self, grade: Grade) -> Iterator[float | None]:
        values = grade.values or (None,) * len(self.scores)
        spreads = grade.spreads or (None,) * len(self.scores)
        for score, value, spread in zip(self.scores, values, spreads, strict=True):
            yield value
            if score.spread:
                yield spread

    def write(self) -> None:
        """Validate the grades added since the last file, and write them; the first file is written even when it is empty.

        Raises StageError where one of them is invalid.
        """
        if not self.grades and self.files:
            return
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {name(column)}" for column, kind in self.kinds.items())
        engine = open_engine(threads=1)
        try:
            engine.create("given", f"SELECT {columns} WHERE FALSE", "grades")
            engine.insert("given", self.grades, "grades")
            _validate(engine, "given", self.checks, "grades")
            self.files += 1
            engine.table("written", "SELECT * FROM given", self.folder / f"{self.files:06}.parquet", "grades")
        finally:
            engine.close()
        self.grades = []


def write_imported(engine: Engine, query: str, path: Path, shown: str) -> None:
    """Write the result of a query (key, score, …) as Parquet, and validate it.

    A key is unique and not null; a score is a number or null. `shown` is the name of the file in messages.
    Raises QueryError where the query fails, StageError that names the file and counts what is wrong with it.
    """
    require_validation()
    engine.table("given", query, path, shown)
    try:
        _validate(engine, "given", _IMPORTED, "imported scores")
    except StageError as error:
        raise StageError(f"{shown}: {error}{_wrong_keys(engine)}") from None
    finally:
        engine.drop("given")


def _wrong_keys(engine: Engine) -> str:
    """The keys of imported scores that are there several times, the first three, and how often there is none."""
    query = "SELECT key, COUNT(*) AS times FROM given GROUP BY key HAVING key IS NULL OR COUNT(*) > 1 ORDER BY key NULLS LAST"
    found = list(engine.facts(query, "imported scores"))
    again = [f"'{row['key'][:_SHOWN_CHARACTERS]}' {row['times']} times" for row in found if row["key"] is not None]
    parts = [f"the key {', '.join(again[:_SHOWN_KEYS])}{', …' if len(again) > _SHOWN_KEYS else ''}"] if again else []
    parts += [
        f"no key in {row['times']} {'row' if row['times'] == 1 else 'rows'}" for row in found if row["key"] is None
    ]
    return f": {'; '.join(parts)}" if parts else ""


def require_validation() -> None:
    """Refuse to run where pandera's switch for validation is off: alpaqual always validates.

    Raises MachineError.
    """
    if os.environ.get("PANDERA_VALIDATION_ENABLED", "true").lower() in ("false", "0"):
        raise MachineError(
            "PANDERA_VALIDATION_ENABLED is off, and with it every check of frames: unset it and run again"
        )


def _validate(engine: Engine, table: str, checks: Mapping[str, str], what: str) -> None:
    """Count the rows that fail each check (label -> SQL condition).

    Raises StageError with the counts.
    """
    failing = ", ".join(f"{condition} AS {name(label)}" for label, condition in checks.items())
    counts = ", ".join(f"COUNT(*) FILTER ({name(label)}) AS {name(label)}" for label in checks)
    (found,) = engine.facts(f"SELECT {counts} FROM (SELECT {failing} FROM {table}) AS checked", what)
    failures = "; ".join(f"{label} ({count})" for label, count in sorted(found.items()) if count)
    if failures:
        raise StageError(f"{what} are not valid: {failures}")
