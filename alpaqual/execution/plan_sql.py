"""The statements of a plan as a script that a person can paste into duckdb."""

from __future__ import annotations

from collections.abc import Iterator

from alpaqual.contracts import Engine
from alpaqual.engines import engine_class
from alpaqual.plan.answering import AnswerStage
from alpaqual.plan.grading import GradeStage
from alpaqual.plan.judging import JudgeStage
from alpaqual.plan.loading import NO_PLACES, NOTHING_UNREADABLE, LoadStage
from alpaqual.plan.plan import Plan
from alpaqual.plan.stage import Facts, KeptTable, Stage
from alpaqual.plan.tables import INCOMPLETE, PLACES, ROWS, UNREADABLE, Table, grades
from alpaqual.plan.writing import WriteStage
from alpaqual.quote import literal
from alpaqual.recipe.score_names import ScoreOf

_STORED_ROWS = "SELECT * FROM read_parquet('tables/rows.parquet')"
_HEAD = (
    "-- Every statement of this run, in order. Paste it into duckdb: each result becomes a table of that database.\n"
    "-- Scores that came from a model or a file are read from tables/ beside this file."
)


def plan_sql(plan: Plan) -> str:
    """Every statement of a plan in order; results are made as tables, and no file is written."""
    parts = [_HEAD]
    for stage in plan.stages:
        statements = _of_models(stage) or list(_stage_sql(plan, stage))
        parts += [f"-- {stage.name}", *statements] if statements else []
    return "\n\n".join(parts) + "\n"


def _of_models(stage: Stage) -> list[str]:
    """Where the folder has what models said in a stage of an evaluation, which no statement makes; empty for other stages."""
    if isinstance(stage, AnswerStage):
        return [f"-- The answers are in evaluation/answers/{stage.subject}.jsonl."]
    return ["-- The votes are in evaluation/verdicts.parquet."] if isinstance(stage, JudgeStage) else []


def _stage_sql(plan: Plan, stage: Stage) -> Iterator[str]:
    if isinstance(stage, GradeStage):
        grader = plan.recipe.graders[stage.grader]
        if grader.scores:
            yield f"-- A model gave the scores of {stage.grader}: each is read below."
            return
        if (
            grader.model is not None
            or grader.table is not None
            or isinstance(grader, ScoreOf)
            or grader.calibrate is not None
        ):
            columns = "n, id, score, reason, reply"
            read = f"SELECT {columns} FROM read_parquet('tables/grades.parquet') WHERE grader = {literal(stage.grader)}"
            yield _create(grades(stage.grader), read)
            return
    if isinstance(stage, LoadStage) and any(stage.conversations):
        yield "-- Python puts conversations into their normal form: these are the rows that it gave."
        yield from _stored_rows(stage)
        return
    if isinstance(stage, LoadStage):
        scans = list(_scans(engine_class(plan.recipe.text.engine.kind), stage))
        if not scans:
            yield "-- A plug-in reads a source: these are the rows that it gave."
            yield from _stored_rows(stage)
            return
        yield from scans
    if isinstance(stage, WriteStage) and stage.records is not None:
        yield f"-- Python reads records of the sources again to write the files of {stage.dataset}."
        return
    for statement in stage.statements:
        if isinstance(statement, Facts):
            yield f"-- counts: {statement.name}\n{statement.sql};"
        else:
            yield _create(statement.table, statement.sql)


def _stored_rows(stage: LoadStage) -> Iterator[str]:
    """The rows as the run folder has them, and the table that is made from them alone."""
    yield _create(ROWS, _STORED_ROWS)
    yield from (
        _create(INCOMPLETE, each.sql)
        for each in stage.statements
        if isinstance(each, KeptTable) and each.table == INCOMPLETE
    )


def _scans(engine: type[Engine], stage: LoadStage) -> list[str]:
    """The statements that read the files; none where the engine reads a source through its plug-in."""
    queries = [(scan, engine.scan_sql(scan)) for scan in stage.scans]
    if any(query is None for _, query in queries):
        return []
    made = [
        f"CREATE OR REPLACE {'TABLE' if scan.copied else 'VIEW'} {Table(scan.table)} AS\n{query};"
        for scan, query in queries
    ]
    return [_create(UNREADABLE, NOTHING_UNREADABLE), _create(PLACES, NO_PLACES), *made]


def _create(table: Table, sql: str) -> str:
    return f"CREATE OR REPLACE TABLE {table} AS\n{sql};"
