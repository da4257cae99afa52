"""A grader whose scores are there already, in a column or a table -> the table `grades.<name>`.

Scores come to rows by row id or by a key column, never by position. What is no score on the scale is *unscored*, with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.plan.loading import INCOMPLETE
from alpaqual.plan.plan import Kind, Query
from alpaqual.quote import literal, name, number
from alpaqual.recipe.graders import Cascade, Grader, Scale
from alpaqual.recipe.scales import exact

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


NOT_ASKED = "removed by a rule: not asked"
"""Reason of a row that no model was asked about; it counts neither as scored nor as unscored."""
BINS = 50
"""Bars of the histogram of a scale without steps."""


def bucket(score: str, scale: Scale) -> str:
    """SQL for the bar of the histogram that a score falls into: the score itself where the scale has steps.

    Callers pass `scale_of_thresholds`: where scores lie between the steps, there is no bar for each.
    """
    if scale.step is not None:
        return score
    width = (scale.max - scale.min) / BINS
    return f"ROUND({number(scale.min)} + FLOOR(ROUND(({score} - {number(scale.min)}) / {number(width)}, 6)) * {number(width)}, 6)"


def grade_facts(grader_name: str, grader: Grader) -> list[Query]:
    """What is counted of any grader's grades."""
    grades = name(f"grades.{grader_name}")
    asked = f" AND reason <> {literal(NOT_ASKED)}" if grader.live or grader.of else ""
    scored = f"SELECT {bucket('score', grader.scale_of_thresholds)} AS score FROM {grades} WHERE score IS NOT NULL"
    return [
        Query(
            "scores",
            f"SELECT score, COUNT(*) AS rows FROM ({scored}) AS scored GROUP BY score ORDER BY score",
            Kind.FACTS,
        ),
        Query(
            "reasons",
            f"SELECT reason, COUNT(*) AS rows FROM {grades} WHERE score IS NULL{asked} GROUP BY reason ORDER BY reason",
            Kind.FACTS,
        ),
    ]


def asked_queries(grader_name: str, grader: Grader) -> list[Query]:
    """Grades that a model gave, from the table `graded`; with a cascade, the first grader's scores of all other rows."""
    grades = "SELECT grader, n, id, score, reason, reply FROM graded"
    called, facts = literal(grader_name), grade_facts(grader_name, grader)
    if grader.cascade is not None:
        first = name(f"grades.{grader.cascade.first}")
        certain = f"{first} WHERE NOT ({doubtful(grader.cascade)})"
        grades += f"\nUNION ALL\nSELECT {called} AS grader, n, id, score, reason, reply FROM {certain}"
        facts.append(Query("taken_over", f"SELECT COUNT(*) AS rows FROM {certain}", Kind.FACTS))
    if grader.live:
        missing = "n NOT IN (SELECT n FROM graded)"
        if grader.cascade is not None:
            missing += f" AND n NOT IN (SELECT n FROM {certain})"
        none = f"CAST(NULL AS DOUBLE) AS score, {literal(NOT_ASKED)} AS reason, CAST(NULL AS VARCHAR) AS reply"
        grades += f"\nUNION ALL\nSELECT {called} AS grader, n, id, {none} FROM rows WHERE {missing}"
    table = Query(f"grades.{grader_name}", f"SELECT * FROM ({grades}) AS grades ORDER BY n", Kind.TABLE)
    return [table, *facts]


def asked_rows(grader: Grader, dropping: Sequence[str], *, cascade: bool = True) -> str:
    """SQL: which rows (`n`) a model is asked about; without `cascade`, may be asked about. Nobody pays for rows that are in no dataset whatever they are worth."""
    conditions = []
    if grader.live:
        conditions.append(f"n NOT IN (SELECT n FROM {INCOMPLETE})")
        if dropping:
            rules = ", ".join(literal(rule) for rule in dropping)
            conditions.append(f"n NOT IN (SELECT n FROM failures WHERE rule IN ({rules}))")
    if grader.cascade is not None and cascade:
        first = name(f"grades.{grader.cascade.first}")
        conditions.append(f"n IN (SELECT n FROM {first} WHERE {doubtful(grader.cascade)})")
    return " AND ".join(conditions) or "TRUE"


def doubtful(cascade: Cascade) -> str:
    """SQL: whether the first grader's score of a row is near enough to the threshold to ask again, or is none."""
    low, high = (number(float(exact(cascade.threshold) + sign * exact(cascade.band))) for sign in (-1, 1))
    return f"score IS NULL OR score BETWEEN {low} AND {high}"


def combined_queries(grader_name: str, grader: Grader) -> list[Query]:
    """One score from those of several graders; a row that one of them left unscored is unscored."""
    names = list(grader.of or ())
    tables = [f"{name(f'grades.{other}')} AS g{i}" for i, other in enumerate(names)]
    joined = tables[0] + "".join(f" JOIN {table} ON g{i}.n = g0.n" for i, table in enumerate(tables) if i)
    scores = [f"g{i}.score" for i in range(len(names))]
    listed = ", ".join(scores)
    missing = " ".join(
        f"WHEN g{i}.reason = {literal(NOT_ASKED)} THEN {literal(NOT_ASKED)} "
        f"WHEN g{i}.score IS NULL THEN {literal(f'{other} gave no score')}"
        for i, other in enumerate(names)
    )
    # Rounded, so that what is a step of the scale on paper is one here.
    value, reason = f"ROUND(({' + '.join(scores)}) / {len(names)}, 9)", f"CASE {missing} END"
    if grader.combine == "min":
        value = f"LEAST({listed})"
    elif grader.combine == "median":
        united = " UNION ALL ".join(f"SELECT n, score FROM {name(f'grades.{other}')}" for other in names)
        joined += f" JOIN (SELECT n, MEDIAN(score) AS score FROM ({united}) AS united GROUP BY n) AS middle ON middle.n = g0.n"
        value = "ROUND(middle.score, 9)"
    elif grader.combine == "agreement":
        apart = f"ROUND(GREATEST({listed}) - LEAST({listed}), 9) > {number(grader.within)}"
        reason = f"CASE {missing} WHEN {apart} THEN 'the graders disagree' END"
    reply = "CAST(NULL AS VARCHAR) AS reply"
    select = (
        f"SELECT {literal(grader_name)} AS grader, n, id, CASE WHEN reason IS NULL THEN score END AS score, reason, {reply}\n"
        f"FROM (SELECT g0.n AS n, g0.id AS id, {value} AS score, {reason} AS reason FROM {joined}) AS combined"
    )
    return [Query(f"grades.{grader_name}", select, Kind.TABLE), *grade_facts(grader_name, grader)]


def length_queries(grader_name: str, grader: Grader) -> list[Query]:
    """The response's length in characters as a score."""
    value = "LENGTH(rows.response)"
    select = _grades(grader_name, value, grader, "rows", "no response")
    return [Query(f"grades.{grader_name}", select, Kind.TABLE), *grade_facts(grader_name, grader)]


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
