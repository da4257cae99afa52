"""Fills the run folder: every stored table and dataset under its public name, the SQL and the record of the stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from alpaqual.contracts import Engine
from alpaqual.engines import viewing
from alpaqual.execution.dataset_files import shown_files
from alpaqual.execution.folder import STAGES, TABLES, RunFolder
from alpaqual.execution.plan_sql import plan_sql
from alpaqual.plan.explain import record_text
from alpaqual.plan.plan import Plan
from alpaqual.plan.stage import Stage, fingerprint
from alpaqual.plan.stages import STAGE_KINDS, kind_of
from alpaqual.plan.tables import Table
from alpaqual.quote import name as quoted
from alpaqual.store.store import Result, Store


def fill_folder(plan: Plan, results: Mapping[str, Result], store: Store, folder: RunFolder) -> None:
    """Prepare everything but `results.json` and the reports for the run folder."""
    placed: dict[str, Path] = {}
    for kind in STAGE_KINDS:
        stages = [stage for stage in plan.of(kind.stage) if stage.name in results]
        for stage in stages:
            placed |= {f"{TABLES}/{table.name}.parquet": results[stage.name].table(table.name) for table in kind.shown}
        for name, table_of in kind.joined:
            keeping = [stage for stage in stages if table_of(stage.subject) in stage.tables]
            if keeping:
                placed[f"{TABLES}/{name}.parquet"] = _joined(plan, store, name, table_of, keeping, results)
    placed |= shown_files(plan, results)
    for name, stored in placed.items():
        folder.place(stored, name)
    folder.write("plan.sql", plan_sql(plan))
    folder.write(STAGES, record_text(plan, lambda stage: stage.name in results or not kind_of(stage).data))


def _joined(
    plan: Plan,
    store: Store,
    name: str,
    table_of: Callable[[str], Table],
    stages: list[Stage],
    results: Mapping[str, Result],
) -> Path:
    """One table of all stages that keep one, kept in the store as a stage's result is."""
    tables: dict[Table, Path] = {}
    for stage in stages:
        table = table_of(stage.subject)
        tables[table] = results[stage.name].table(table.name)
    if len(tables) == 1:
        return next(iter(tables.values()))
    inputs = {stage.subject: results[stage.name].fingerprint for stage in stages}
    key = fingerprint({"joined": name, "inputs": inputs})
    result = store.find(key)
    if result is None:
        views, engine_kind = {table.name: path for table, path in tables.items()}, plan.recipe.text.engine.kind
        with store.making() as making, viewing(views, engine_kind) as engine:
            engine.table(name, _union(engine, list(tables)), making / f"{name}.parquet", f"joining {name}")
            result = store.seal(making, key, {}, {"joined": name}, inputs)
    return result.table(name)


def _union(engine: Engine, tables: Sequence[Table]) -> str:
    """SQL: the rows of all tables; a column that one of them lacks is NULL there."""
    found = {table: engine.columns(table.name) for table in tables}
    every = list(dict.fromkeys(column for columns in found.values() for column in columns))
    if all(list(columns) == every for columns in found.values()):
        return "\nUNION ALL\n".join(f"SELECT * FROM {table}" for table in tables)
    selects = []
    for table, columns in found.items():
        names = [quoted(column) if column in columns else f"NULL AS {quoted(column)}" for column in every]
        selects.append(f"SELECT {', '.join(names)} FROM {table}")
    return "\nUNION ALL\n".join(selects)
