"""The stages `grading.<grader>`: a score of every row, or the reason why it has none.

Scores are joined to rows by row id or by a key column, never by position. A value that is no score on the scale is *unscored*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from alpaqual.amounts import exact
from alpaqual.plan.calibrating import VERSION as CALIBRATION_VERSION
from alpaqual.plan.calibrating import calibrated
from alpaqual.plan.checking import CheckStage
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.facts import GradeFacts, StageFacts
from alpaqual.plan.loading import LoadStage
from alpaqual.plan.needs import grader_needs, takes_truths
from alpaqual.plan.prompts import prompt_settings
from alpaqual.plan.stage import Facts, KeptTable, Stage, Statement
from alpaqual.plan.tables import (
    FAILURES,
    GRADED,
    IMPORTED,
    INCOMPLETE,
    TURNS_GRADED,
    grades,
    score_columns,
    scores,
    turn_grades,
    turn_scores,
)
from alpaqual.prompt_slots import COLUMN, named_slots, slot_key
from alpaqual.quote import literal, name, number
from alpaqual.recipe.crosscheck_graders import grader_order, needed
from alpaqual.recipe.graders import Cascade, Golden, Grader, Scale
from alpaqual.recipe.score_names import ScoreOf


@dataclass(frozen=True, kw_only=True)
class GradeStage(Stage):
    """Gives every row a score of one grader."""

    kind: ClassVar[str] = "grading"
    facts: ClassVar[type[StageFacts]] = GradeFacts
    grader: str
    key_type: str = "VARCHAR"
    """SQL type of what the key of a table of scores means."""
    slots: tuple[tuple[str, str], ...] = ()
    """What the prompt shows besides the row's texts: the key of each slot, and its SQL over `rows`."""

    @property
    def subject(self) -> str:
        return self.grader


def grade_stages(compilation: Compilation) -> Iterator[GradeStage]:
    """A stage for each grader, after those that it starts from."""
    recipe = compilation.recipe
    for grader_name in grader_order(recipe.graders, recipe.prompts):
        grader = recipe.graders[grader_name]
        settings, inputs, statements = _compiled(compilation, grader_name, grader)
        if measures_golden_rows(grader) and grader.health.golden is not None:
            settings["golden"] = _golden_settings(compilation, grader.health.golden)
        if grader.calibrate is not None:
            settings["calibrate"] = [CALIBRATION_VERSION, compilation.digests.get(grader.calibrate.file, "")]
            statements = calibrated(grader_name, grader, statements)
        yield GradeStage(
            grader=grader_name,
            settings=settings,
            inputs=compilation.inputs(*inputs),
            statements=tuple(statements),
            needs=tuple(grader_needs(compilation, grader_name, grader)),
            key_type="VARCHAR" if grader.table is None else compilation.columns.key(grader.key)[1],
            slots=tuple(_slots(compilation, recipe.prompts.get(grader_name, ""))),
        )


def _slots(compilation: Compilation, template: str) -> Iterator[tuple[str, str]]:
    """The named slots of a prompt, with SQL of what each shows of a row."""
    for kind, named in named_slots(template):
        yield slot_key(kind, named), text_of_column(compilation, named) if kind == COLUMN else score_of_row(named)


def text_of_column(compilation: Compilation, column: str) -> str:
    """SQL, over `rows`: a column as a prompt shows it.

    A whole number is shown as one whether or not other rows have fractions: the request about a row follows from that row alone.
    """
    value = compilation.columns.sql(column)
    text = f"CAST({value} AS VARCHAR)"
    if compilation.columns.type(column) != "DOUBLE":
        return text
    return f"CASE WHEN ABS({value}) < 1e15 AND {value} = TRUNC({value}) THEN CAST(CAST({value} AS BIGINT) AS VARCHAR) ELSE {text} END"


def score_of_row(grader_name: str) -> str:
    """SQL, over `rows`: the score that a grader gave a row."""
    return f"(SELECT score FROM {grades(grader_name)} AS earlier WHERE earlier.n = rows.n)"


_Inputs = list[tuple[type[Stage], str]]
_LOADING: _Inputs = [(LoadStage, "")]


def _compiled(
    compilation: Compilation, grader_name: str, grader: Grader
) -> tuple[dict[str, Any], _Inputs, list[Statement]]:
    """Settings, inputs and statements of one grader."""
    scale = msgspec.to_builtins(grader.scale)
    columns = compilation.columns
    if isinstance(grader, ScoreOf):
        settings = {"score": grader.part, "scale": scale}
        return settings, [(GradeStage, grader.asked)], score_statements(grader_name, grader)
    if grader.column is not None:
        statements = column_statements(grader_name, grader, columns.sql(grader.column))
        return {"column": grader.column, "scale": scale}, _LOADING, statements
    if grader.table is not None:
        digest = compilation.digests.get(grader.table, "")
        settings = {"table": digest, "key": grader.key, "score": grader.score, "scale": scale}
        return settings, _LOADING, table_statements(grader_name, grader, columns.key(grader.key)[0])
    if grader.of is not None:
        settings = {"of": grader.of, "combine": grader.combine, "within": grader.within, "scale": scale}
        return settings, [(GradeStage, other) for other in grader.of], combined_statements(grader_name, grader)
    if grader.expression is not None:
        settings = {"kind": grader.kind, "version": grader.kind_plugin.VERSION, "scale": scale}
        return settings, _LOADING, expression_statements(grader_name, grader, grader.expression)
    return (
        _model_settings(compilation, grader_name, grader),
        _model_inputs(compilation, grader_name, grader),
        model_statements(grader_name, grader),
    )


def _golden_settings(compilation: Compilation, golden: Golden) -> list[Any]:
    """What decides the measures of golden rows."""
    return [compilation.digests.get(golden.file, ""), golden.within, GOLDEN_VERSION]


def _model_settings(compilation: Compilation, grader_name: str, grader: Grader) -> dict[str, Any]:
    digests, recipe = compilation.digests, compilation.recipe
    model = digests.get(str(grader.model), str(grader.model))
    settings = prompt_settings(grader, recipe.prompts.get(grader_name), model)
    if grader.live and (golden := grader.health.golden) is not None:
        settings["golden"] = _golden_settings(compilation, golden)
    if grader.live and recipe.dropping:
        settings["dropping"] = recipe.dropping
    return settings


def _model_inputs(compilation: Compilation, grader_name: str, grader: Grader) -> _Inputs:
    inputs = list(_LOADING)
    inputs += [(GradeStage, other) for other in needed(grader, compilation.recipe.prompts.get(grader_name, ""))]
    if grader.live and compilation.recipe.dropping:
        inputs.append((CheckStage, ""))
    return inputs


def column_statements(grader_name: str, grader: Grader, value: str) -> list[Statement]:
    """Grades from a column of the source; `value` is its SQL over `rows`. On a scale of 0 to 1, a boolean counts as one of them."""
    select = _grades(grader_name, value, grader, "rows", "no score in the column", _quoted(f"CAST({value} AS VARCHAR)"))
    return [KeptTable(grades(grader_name), select), *grade_facts(grader_name, grader)]


def table_statements(grader_name: str, grader: Grader, key: str) -> list[Statement]:
    """Grades from a table, joined by `key`: SQL over `rows` of the text that its key holds."""
    joined = f"rows LEFT JOIN {IMPORTED} ON {key} = {IMPORTED}.key"
    quoted = _quoted(f"{IMPORTED}.text")
    select = _grades(grader_name, f"{IMPORTED}.score", grader, joined, "no score in the table", quoted)
    inside = f"score BETWEEN {number(grader.scale.min)} AND {number(grader.scale.max)}"
    cases = {NOT_A_NUMBER: "ISNAN(score)", OUT_OF_SCALE: f"NOT ({inside})", NO_ROW: "known.key IS NULL"}
    lost = " ".join(f"WHEN {case} THEN {literal(reason)}" for reason, case in cases.items())
    keys = f"(SELECT DISTINCT {key} AS key FROM rows) AS known ON known.key = {IMPORTED}.key"
    each = f"SELECT CASE {lost} ELSE '' END AS reason FROM {IMPORTED} LEFT JOIN {keys} WHERE score IS NOT NULL"
    table = Facts(
        "table_scores", f"SELECT reason, COUNT(*) AS rows FROM ({each}) AS used GROUP BY reason ORDER BY reason"
    )
    return [KeptTable(grades(grader_name), select), *grade_facts(grader_name, grader), table]


GOLDEN_VERSION = 2
"""Raised when more is measured of golden rows: a stored result without it is made again, from the ledger's replies."""
NOT_A_NUMBER = "not a number"
"""Reason of a value that is no score; the value follows where a column or a table holds it."""
OUT_OF_SCALE = "out of scale"
"""Reason of a number that is no score on the scale."""
NO_ROW = "of no row"
"""What is wrong with a score of a table whose key no row has."""
NOT_ASKED = "removed by a rule: not asked"
"""Reason of a row that no model graded; it counts neither as scored nor as unscored."""
BINS = 50
"""Bars of the histogram of a scale without steps."""


def bucket(score: str, scale: Scale) -> str:
    """SQL for the bar of the histogram that a score falls into: the score itself where the scale has steps.

    Callers pass `scale_of_thresholds`, which has no steps where scores are between those of the scale.
    """
    if scale.step is not None:
        return score
    width = (scale.max - scale.min) / BINS
    return f"ROUND({number(scale.min)} + FLOOR(ROUND(({score} - {number(scale.min)}) / {number(width)}, 6)) * {number(width)}, 6)"


def grade_facts(grader_name: str, grader: Grader) -> list[Statement]:
    """What is counted of any grader's grades."""
    asked = f" AND reason <> {literal(NOT_ASKED)}" if may_skip(grader) or grader.of else ""
    scored = f"SELECT {bucket('score', grader.scale_of_thresholds)} AS score FROM {grades(grader_name)} WHERE score IS NOT NULL"
    spread = "COUNT(*) AS rows, ROUND(AVG(spread), 6) AS mean, ROUND(MAX(spread), 6) AS largest"
    apart = f"SELECT {spread}, COUNT(CASE WHEN spread > 0 THEN 1 END) AS differing FROM {grades(grader_name)} WHERE spread IS NOT NULL"
    return [
        *([Facts("spread", apart)] if grader.samples > 1 else []),
        Facts("scores", f"SELECT score, COUNT(*) AS rows FROM ({scored}) AS scored GROUP BY score ORDER BY score"),
        Facts(
            "reasons",
            f"SELECT reason, COUNT(*) AS rows FROM (SELECT {_few_reasons(grader)} AS reason FROM {grades(grader_name)} "
            f"WHERE score IS NULL{asked}) AS unscored GROUP BY reason ORDER BY reason",
        ),
    ]


def measures_golden_rows(grader: Grader) -> bool:
    """Whether golden rows are those that are in the data: the grader sends no request about others."""
    several = bool(grader.scores) or isinstance(grader, ScoreOf)
    return grader.health.golden is not None and not grader.live and not several


def may_skip(grader: Grader) -> bool:
    """Whether a grader's grades have rows that no model was asked about."""
    return grader.asking.live if isinstance(grader, ScoreOf) else grader.live


_MOST_CHARACTERS = 40
_MOST_VALUES = 20


def _few_reasons(grader: Grader) -> str:
    """SQL: the reason; where a column has many values that are not numbers, without the value for all but a few."""
    if grader.column is None:
        return "reason"
    named = f"STARTS_WITH(reason, {literal(f'{NOT_A_NUMBER}: ')})"
    place = f"DENSE_RANK() OVER (PARTITION BY {named} ORDER BY reason)"
    return f"CASE WHEN {named} AND {place} > {_MOST_VALUES} THEN {literal(NOT_A_NUMBER)} ELSE reason END"


def model_statements(grader_name: str, grader: Grader) -> list[Statement]:
    """Grades that a model gave, from the table `graded`; with a cascade, the first grader's scores of all other rows."""
    own = score_columns(list(grader.scores or ()), spread=grader.samples > 1)
    select = f"SELECT grader, n, id, {_names(own)}, reason, reply FROM {GRADED}"
    called = literal(grader_name)
    if grader.cascade is not None:
        certain = f"{grades(grader.cascade.first)} WHERE NOT ({doubtful(grader.cascade)})"
        columns = _names(own, missing=("spread",))
        select += f"\nUNION ALL\nSELECT {called} AS grader, n, id, {columns}, reason, reply FROM {certain}"
    if grader.live:
        missing = f"n NOT IN (SELECT n FROM {GRADED})"
        if grader.cascade is not None:
            missing += f" AND n NOT IN (SELECT n FROM {certain})"
        none = f"{_names(own, missing=own)}, {literal(NOT_ASKED)} AS reason, CAST(NULL AS VARCHAR) AS reply"
        select += f"\nUNION ALL\nSELECT {called} AS grader, n, id, {none} FROM rows WHERE {missing}"
    made, of_turns = (scores, turn_scores) if grader.scores else (grades, turn_grades)
    kept: list[Statement] = [KeptTable(made(grader_name), f"SELECT * FROM ({select}) AS grades ORDER BY n")]
    if grader.each is not None:
        kept.append(KeptTable(of_turns(grader_name), f"SELECT * FROM {TURNS_GRADED} ORDER BY n, turn"))
    kept += _several_facts(grader_name, grader) if grader.scores else grade_facts(grader_name, grader)
    if grader.cascade is not None:
        kept.append(Facts("taken_over", f"SELECT COUNT(*) AS rows FROM {certain}"))
    return kept


def _names(columns: Sequence[str], missing: Sequence[str] = ()) -> str:
    """SQL: columns of numbers by their names; those of `missing` are NULL."""
    quoted = {column: column if column.isalpha() else name(column) for column in columns}
    return ", ".join(
        f"CAST(NULL AS DOUBLE) AS {quoted[column]}" if column in missing else quoted[column] for column in columns
    )


def _several_facts(grader_name: str, grader: Grader) -> list[Statement]:
    """What is counted of rows with several scores: those with all of them, and the reasons of the others."""
    asked = f" AND reason <> {literal(NOT_ASKED)}" if grader.live else ""
    reasons = f"SELECT reason, COUNT(*) AS rows FROM {scores(grader_name)} WHERE reason IS NOT NULL{asked}"
    return [
        Facts("scores", "SELECT CAST(NULL AS DOUBLE) AS score, CAST(0 AS BIGINT) AS rows WHERE FALSE"),
        Facts("reasons", f"{reasons} GROUP BY reason ORDER BY reason"),
        Facts("complete", f"SELECT COUNT(*) AS rows FROM {scores(grader_name)} WHERE reason IS NULL"),
    ]


def score_statements(grader_name: str, grader: ScoreOf) -> list[Statement]:
    """Grades of one of several scores, from the table of all."""
    columns = score_columns([grader.part], spread=grader.samples > 1)
    plain = score_columns([], spread=grader.samples > 1)
    values = ", ".join(f"{name(column)} AS {own}" for column, own in zip(columns, plain, strict=True))
    head = f"SELECT {literal(grader_name)} AS grader, n, id"
    kept: list[Statement] = [
        KeptTable(grades(grader_name), f"{head}, {values}, reason, reply FROM {scores(grader.asked)} ORDER BY n")
    ]
    if grader.asking.each is not None:
        turns = f"{head}, turn, {values}, reason, reply FROM {turn_scores(grader.asked)} ORDER BY n, turn"
        kept.append(KeptTable(turn_grades(grader_name), turns))
    return [*kept, *grade_facts(grader_name, grader)]


def asked_rows(grader: Grader, dropping: Sequence[str], *, cascade: bool = True) -> str:
    """SQL: the rows (`n`) that a model grades; without `cascade`, those that it may have to grade.

    A live model does not grade rows that drop rules remove: they are in no dataset.
    """
    conditions = []
    if grader.live:
        conditions.append(f"n NOT IN (SELECT n FROM {INCOMPLETE})")
        if dropping:
            rules = ", ".join(literal(rule) for rule in dropping)
            conditions.append(f"n NOT IN (SELECT n FROM {FAILURES} WHERE rule IN ({rules}))")
    if grader.cascade is not None and cascade:
        conditions.append(f"n IN (SELECT n FROM {grades(grader.cascade.first)} WHERE {doubtful(grader.cascade)})")
    return " AND ".join(conditions) or "TRUE"


def doubtful(cascade: Cascade) -> str:
    """SQL: whether a row has no score of the first grader, or one within the band around the threshold."""
    low, high = (number(float(exact(cascade.threshold) + sign * exact(cascade.band))) for sign in (-1, 1))
    return f"score IS NULL OR score BETWEEN {low} AND {high}"


def combined_statements(grader_name: str, grader: Grader) -> list[Statement]:
    """One score from those of several graders; a row that one of them left unscored is unscored."""
    names = list(grader.of or ())
    tables = [f"{grades(other)} AS g{i}" for i, other in enumerate(names)]
    joined = tables[0] + "".join(f" JOIN {table} ON g{i}.n = g0.n" for i, table in enumerate(tables) if i)
    scores = [f"g{i}.score" for i in range(len(names))]
    listed = ", ".join(scores)
    missing = " ".join(
        f"WHEN g{i}.reason = {literal(NOT_ASKED)} THEN {literal(NOT_ASKED)} "
        f"WHEN g{i}.score IS NULL THEN {literal(f'{other} gave no score')}"
        for i, other in enumerate(names)
    )
    # Rounded, so that floating point keeps a score on the steps of the scale.
    value, reason = f"ROUND(({' + '.join(scores)}) / {len(names)}, 9)", f"CASE {missing} END"
    if grader.combine == "min":
        value = f"LEAST({listed})"
    elif grader.combine == "median":
        united = " UNION ALL ".join(f"SELECT n, score FROM {grades(other)}" for other in names)
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
    return [KeptTable(grades(grader_name), select), *grade_facts(grader_name, grader)]


def _quoted(text: str) -> str:
    """SQL: the reason of a value that is no score."""
    return f"CONCAT({literal(f'{NOT_A_NUMBER}: ')}, LEFT({text}, {_MOST_CHARACTERS}))"


def expression_statements(grader_name: str, grader: Grader, expression: str) -> list[Statement]:
    """Grades from an expression (SQL) over the columns of `rows`."""
    select = _grades(grader_name, expression, grader, "rows", grader.kind_plugin.MISSING)
    return [KeptTable(grades(grader_name), select), *grade_facts(grader_name, grader)]


def _grades(
    grader_name: str, value: str, grader: Grader, source: str, missing: str, other: str = "'not a number'"
) -> str:
    text = f"LOWER(CAST({value} AS VARCHAR))"
    scale, score = grader.scale, f"TRY_CAST({value} AS DOUBLE)"
    if takes_truths(scale):
        score = f"CASE {text} WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE {score} END"
    inside = f"found BETWEEN {number(scale.min)} AND {number(scale.max)}"
    return (
        f"SELECT {literal(grader_name)} AS grader, n, id, CASE WHEN {inside} THEN found END AS score,\n"
        f"  CASE WHEN empty THEN {literal(missing)} WHEN found IS NULL OR ISNAN(found) THEN other "
        f"WHEN NOT ({inside}) THEN {literal(OUT_OF_SCALE)} END AS reason, CAST(NULL AS VARCHAR) AS reply\n"
        f"FROM (SELECT rows.n AS n, rows.id AS id, {value} IS NULL OR CAST({value} AS VARCHAR) = '' AS empty, {score} AS found, {other} AS other FROM {source}) AS graded"
    )
