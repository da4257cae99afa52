"""A column or a table that loses many of its scores warns, with the counts of each cause."""

from __future__ import annotations

import pytest
from conftest import Project

COLUMN = "{column: mark, scale: {min: 0, max: 5}}"
TABLE = "{table: scores.csv, key: number, score: mark, scale: {min: 0, max: 5}}"


def warnings(project: Project, grader: str, marks: list[str], scores: dict[str, str] | None = None) -> list[str]:
    project.jsonl("d.jsonl", [{"instruction": f"Q {n}", "output": f"A {n}", "number": n, "mark": mark} for n, mark in enumerate(marks)])  # fmt: skip
    project.write("scores.csv", "number,mark\n" + "".join(f'{key},"{mark}"\n' for key, mark in (scores or {}).items()))
    project.ask("d.jsonl", f"graders: {{g: {grader}}}", datasets="{good: {threshold: {g: 2}}}")
    return [each.text for each in project.run().results.reasons if each.text.startswith("grader g: ")]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (["4,5"], "5 of 100 scores in the column mark are of no use: 5 not a number (such as 4,5)"),
        (["9"], "5 of 100 scores in the column mark are of no use: 5 out of scale"),
    ],
)
def test_a_column(project: Project, odd: list[str], said: str) -> None:
    assert warnings(project, COLUMN, ["3"] * 95 + odd * 5) == [f"grader g: {said}"]
    assert warnings(project, COLUMN, ["3"] * 96 + odd * 4) == []


def test_missing_scores_alone_are_ordinary(project: Project) -> None:
    assert warnings(project, COLUMN, ["3"] * 50 + [""] * 50) == []
    assert warnings(project, TABLE, [""] * 100, {f"{n}": "3" for n in range(20)}) == []


def test_a_table_counts_its_own_scores(project: Project) -> None:
    scores = {f"{n}": "3" for n in range(60)} | {f"{n}": "7" for n in range(60, 70)} | {"70": "4,5"}
    assert warnings(project, TABLE, [""] * 100, scores | {f"{n}": "2" for n in range(1000, 1029)}) == [
        "grader g: 40 of 100 scores in the table scores.csv are of no use: 29 of no row, 10 out of scale, 1 not a number (such as 4,5)"
    ]
