"""A grader whose scores are there already, in a column or a table -> the table `grades.<name>`.

Scores come to rows by row id or by a key column, never by position. What is no score on the scale is *unscored*, with a reason.
"""

from __future__ import annotations

from alpaqual.plan.plan import Kind, Query
from alpaqual.quote import literal, name, number
from alpaqual.recipe.model import Grader, Scale

IMPORTED = "imported"
"""Table of scores that a file brought in: `key` and `score`, validated before it comes here."""


def column_queries(grader_name: str, grader: Grader, column: str) -> list[Query]:
    """Grades from a column of the source; `column` is its quoted name in `rows`. A boolean counts as 0 and 1."""
    select = _grades(grader_name, f"rows.{column}", grader, "rows", "no score in the column")
    return [Query(f"grades.{grader_name}", select, Kind.TABLE), *grade_facts(grader_name, grader)]


def table_queries(grader_name: str, grader: Grader, column: str) -> list[Query]:
    """Grades from a table, joined by `column`: the quoted column of `rows` that its key holds."""
    joined = f"rows LEFT JOIN {IMPORTED} ON CAST(rows.{column} AS VARCHAR) = {IMPORTED}.key"
    select = _grades(grader_name, f"{IMPORTED}.score", grader, joined, "no score in the table")
    return [Query(f"grades.{grader_name}", select, Kind.TABLE), *grade_facts(grader_name, grader)]


BINS = 50
"""Bars of the histogram of a scale without steps."""


def bucket(score: str, scale: Scale) -> str:
    """SQL for the bar of the histogram that a score falls into: the score itself where the scale has steps."""
    if scale.step is not None:
        return score
    width = (scale.max - scale.min) / BINS
    return f"ROUND({number(scale.min)} + FLOOR(ROUND(({score} - {number(scale.min)}) / {number(width)}, 6)) * {number(width)}, 6)"


def grade_facts(grader_name: str, grader: Grader) -> list[Query]:
    """What is counted of any grader's grades."""
    grades = name(f"grades.{grader_name}")
    scored = f"SELECT {bucket('score', grader.scale)} AS score FROM {grades} WHERE score IS NOT NULL"
    return [
        Query(
            "scores",
            f"SELECT score, COUNT(*) AS rows FROM ({scored}) AS scored GROUP BY score ORDER BY score",
            Kind.FACTS,
        ),
        Query(
            "reasons",
            f"SELECT reason, COUNT(*) AS rows FROM {grades} WHERE score IS NULL GROUP BY reason ORDER BY reason",
            Kind.FACTS,
        ),
    ]


def _grades(grader_name: str, value: str, grader: Grader, source: str, missing: str) -> str:
    text = f"LOWER(CAST({value} AS VARCHAR))"
    score = f"CASE {text} WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE TRY_CAST({value} AS DOUBLE) END"
    scale = grader.scale
    inside = f"found BETWEEN {number(scale.min)} AND {number(scale.max)}"
    return (
        f"SELECT {literal(grader_name)} AS grader, n, id, CASE WHEN {inside} THEN found END AS score,\n"
        f"  CASE WHEN empty THEN {literal(missing)} WHEN found IS NULL OR ISNAN(found) THEN 'not a number' "
        f"WHEN NOT ({inside}) THEN 'out of scale' END AS reason, CAST(NULL AS VARCHAR) AS reply\n"
        f"FROM (SELECT rows.n AS n, rows.id AS id, {value} IS NULL OR CAST({value} AS VARCHAR) = '' AS empty, {score} AS found FROM {source}) AS graded"
    )
