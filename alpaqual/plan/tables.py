"""The tables that the statements of a plan make and read.

Code passes these objects around; SQL holds their quoted names (`str(table)`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alpaqual.quote import name as quoted


@dataclass(frozen=True)
class Table:
    """One table, by its name in SQL."""

    name: str

    def __str__(self) -> str:
        return quoted(self.name)


ROWS = Table("rows")
"""id, n, source, instruction, input, response, and what conversations have; own_id and own_id_json where the data has ids; columns
of the data that the recipe reads as `source.<name>`, and those that datasets carry along as `keep.<name>`, in JSON."""
QUARANTINE = Table("quarantine")
"""source, position, reason, text of each row that could not be read."""
INCOMPLETE = Table("incomplete")
"""n, reason of rows without an instruction or a response: rules check them, no dataset takes them."""
UNREADABLE = Table("unreadable")
"""source, position, reason, text of rows that a reader refused; filled while the sources are loaded."""
PLACES = Table("places")
"""source, position, place (file and line) of rows that were read and cannot be used; filled while the sources are loaded."""
LOADED = Table("loaded")
"""Rows before exact copies get their ordinals."""
FAILURES = Table("failures")
"""rule, n, id, column, value of each failing row of each rule."""
ROW_CATEGORIES = Table("row_categories")
"""category, n, id, hits (a bit for each keyword found) of each row of each category."""
IMPORTED = Table("imported")
"""key, score of a file of scores, validated."""
GRADED = Table("graded")
"""Grades that a model gave in this stage, before the rows that no model graded are added."""

RECORDS = Table("records")
"""n, record (its JSON text), grouped, stratum of rows as their files have them; filled while a dataset is written."""


RAW_GRADES = Table("raw_grades")
"""Grades of a calibrated grader before the map."""
CALIBRATION = Table("calibration")
"""low, high, base, start, slope of each segment of the map of a calibrated grader; filled while it grades."""
TURNS_GRADED = Table("turns_graded")
"""Grades of single turns that a model gave in this stage."""
ANSWERED = Table("answered")
"""Answers of one model to one test set; filled while they are given."""
VOTED = Table("voted")
"""Votes of one judge on one pair and test set; filled while they are given."""


def scanned(source: str) -> Table:
    """Cells of a source's files: position, and a column for each column that is read."""
    return Table(f"scanned.{source}")


def turned(source: str) -> Table:
    """Conversations of a source in the normal form, by position; filled while the source is loaded."""
    return Table(f"turned.{source}")


def grades(grader: str) -> Table:
    """grader, n, id, score, reason, reply: one row for each row of `rows`."""
    return Table(f"grades.{grader}")


def turn_grades(grader: str) -> Table:
    """grader, n, id, turn, score, reason, reply: one row for each turn that the grader scored by itself."""
    return Table(f"turn_grades.{grader}")


def scores(grader: str) -> Table:
    """grader, n, id, a column `score.<name>` for each of several scores, reason, reply: one row for each row of `rows`."""
    return Table(f"scores.{grader}")


def turn_scores(grader: str) -> Table:
    """The same of turns, with the column `turn`."""
    return Table(f"turn_scores.{grader}")


def score_columns(parts: Sequence[str], *, spread: bool = False) -> list[str]:
    """The columns of the scores of a grader: `score`, or `score.<name>` for each of several; with `spread`, its spread behind each."""
    ends = [f".{part}" for part in parts] or [""]
    return [f"{column}{end}" for end in ends for column in (("score", "spread") if spread else ("score",))]


def fates(dataset: str) -> Table:
    """dataset, n, id, fate, reasons: one row for each row of `rows`."""
    return Table(f"fates.{dataset}")


def exported(dataset: str) -> Table:
    """The rows of a dataset as training reads them: id, instruction, input, output."""
    return Table(f"dataset.{dataset}")


def splits(dataset: str) -> Table:
    """n, id, split of each row of a dataset; split is NULL where it has none."""
    return Table(f"splits.{dataset}")


def answers(subject: str) -> Table:
    """id, answer, reason, finish_reason, input_tokens, output_tokens of each question; `subject` is model and test set."""
    return Table(f"answers.{subject}")


def votes(subject: str) -> Table:
    """The votes on each item in both orders, with its question and answers; `subject` is judge, pair and test set."""
    return Table(f"votes.{subject}")
