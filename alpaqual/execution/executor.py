"""Walks a plan's stages once: what the store has is reused, what it lacks is done."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from alpaqual.engines.duckdb import Database, QueryError
from alpaqual.errors import Problem, RecipeError
from alpaqual.execution.loading import name_damaged_file, stage_source
from alpaqual.execution.options import RunOptions
from alpaqual.execution.run import Outcome
from alpaqual.plan.plan import Kind, Plan, Query, Stage, fingerprint
from alpaqual.quote import literal, name
from alpaqual.store.ledger import Ledger
from alpaqual.store.store import Result, Store

STAGES = ("loading", "checking", "categorising", "grading", "assessing", "selecting", "training")
"""The kinds of stages, in the order they run; `--until` names one."""

Listener = Callable[[str, str, float], None]
"""Is told (stage, "start" | "done" | "reused", seconds)."""


@dataclass
class Execution:
    """Results of a plan's stages, and how each went."""

    results: dict[str, Result] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


def execute_stages(
    plan: Plan,
    store: Store,
    *,
    until: str | None = None,
    listen: Listener | None = None,
    options: RunOptions | None = None,
) -> Execution:
    """Do every stage that the store does not have, up to those of the kind `until`.

    Raises StageError where a stage fails; what was done before stays in the store.
    """
    store.clear_unfinished()
    executor = _Executor(plan, store, listen or (lambda stage, event, seconds: None), options or RunOptions())
    try:
        executor.check_models(until)
        for stage in plan.stages:
            # Training reads files of the run folder, which come of these stages.
            if stage.verb == "training" or (until is not None and STAGES.index(stage.verb) > STAGES.index(until)):
                continue
            executor.stage(stage)
    finally:
        executor.close()
    return executor.execution


class _Executor:
    def __init__(self, plan: Plan, store: Store, listen: Listener, options: RunOptions) -> None:
        self.plan = plan
        self.store = store
        self.listen = listen
        self.options = options
        self.execution = Execution()
        self.opened: Database | None = None
        self.viewed: set[str] = set()
        self.spill = store.unfinished_folder()

    @property
    def database(self) -> Database:
        if self.opened is None:
            engine = self.plan.recipe.text.engine
            self.opened = Database(memory=engine.memory, threads=engine.threads, spill=self.spill)
            if any(file.path.startswith("hf://") for facts in self.plan.sources for file in facts.files):
                self.opened.allow_network()
        return self.opened

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()
            shutil.rmtree(self.spill, ignore_errors=True)

    def check_models(self, until: str | None) -> None:
        """Raises MachineError where a model cannot be asked, before anything is done."""
        grades = until is None or STAGES.index(until) >= STAGES.index("grading")
        if grades and any(grader.live for grader in self.plan.recipe.graders.values()):
            from alpaqual.execution.model_grading import check_models

            has = self.store.find
            check_models(self.plan, lambda key: has(key) is not None, self.ledger, offline=self.options.offline)

    @cached_property
    def ledger(self) -> Ledger:
        """The project's replies."""
        return Ledger(self.store.replies, self.store.claims)

    def stage(self, stage: Stage) -> None:
        started = time.monotonic()
        key = self.fingerprint(stage)
        result = self.store.find(key)
        reused = result is not None
        if result is None:
            self.listen(stage.name, "start", 0.0)
            result = self.make(stage, key)
        seconds = time.monotonic() - started
        self.execution.results[stage.name] = as_reused(result) if reused else result
        self.execution.outcomes.append(Outcome(stage.name, reused, seconds))
        self.listen(stage.name, "reused" if reused else "done", seconds)

    def fingerprint(self, stage: Stage) -> str:
        """The stage's own, unless it reads what is not final: then it is neither, and no later run takes it for that."""
        found = {name: self.execution.results[name].fingerprint for name in stage.inputs}
        return stage.fingerprint if found == dict(stage.inputs) else fingerprint([stage.fingerprint, found])

    def make(self, stage: Stage, key: str) -> Result:
        for wanted in stage.inputs:
            self.view_tables(wanted)
        with self.store.making() as folder:
            facts = _Making(self, stage, folder).facts()
            unanswered = next((reply["again_digest"] for reply in facts.get("replies", ()) if reply.get("again")), None)
            if unanswered:
                # Rows that nobody answered are asked about again on the next run, so this is not the stage's last word.
                key = fingerprint([key, unanswered])
            result = self.store.seal(folder, key, facts, stage.settings, stage.inputs)
            # Where another run had the same last word, what asking came to is this run's own.
            asked = {"replies": facts["replies"]} if "replies" in facts else {}
            return replace(result, facts={**result.facts, **asked})

    def view_tables(self, stage_name: str) -> None:
        """Make the tables of a finished stage readable by their names."""
        if stage_name in self.viewed:
            return
        self.viewed.add(stage_name)
        folder = self.execution.results[stage_name].folder
        for path in sorted(folder.glob("*.parquet")):
            self.database.view(path.name.removesuffix(".parquet"), path)


class _Making:
    """One stage being made in a folder."""

    def __init__(self, executor: _Executor, stage: Stage, folder: Path) -> None:
        self.executor = executor
        self.stage = stage
        self.folder = folder
        self.database = executor.database
        self.temporary: list[str] = []

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = dict(self.before())
        try:
            for query in self.stage.queries:
                self.run(query, facts)
        finally:
            for table in self.temporary:
                self.database.execute(f"DROP TABLE IF EXISTS {name(table)}", "cleaning up")
        if (parts := self.folder / "graded").is_dir():
            self.database.execute("DROP VIEW IF EXISTS graded", "cleaning up")
            shutil.rmtree(parts)
        # Views on this folder's files end with it; the sealed files are viewed anew where a later stage reads them.
        for path in self.folder.glob("*.parquet"):
            self.database.execute(f"DROP VIEW IF EXISTS {name(path.name.removesuffix('.parquet'))}", "cleaning up")
        return facts

    def before(self) -> Mapping[str, Any]:
        """Work that is not a query: scores that come from a file or from recorded replies."""
        if self.stage.verb != "grading":
            return {}
        recipe = self.executor.plan.recipe
        grader_name = self.stage.name.partition(".")[2]
        grader = recipe.graders[grader_name]
        if grader.column is not None:
            return {}
        if grader.table is not None:
            from alpaqual.execution.imported_scores import import_table

            import_table(self.database, recipe, grader_name, self.folder / "imported.parquet")
            self.database.view("imported", self.folder / "imported.parquet")
        elif grader.model is not None:
            return self.ask(grader_name)
        return {}

    def ask(self, grader_name: str) -> Mapping[str, Any]:
        # Asking models brings asyncio and the frames' checks along: only who grades pays for them.
        from alpaqual.execution.model_grading import grade_with_model

        executor, parts = self.executor, self.folder / "graded"
        options, ledger = executor.options, executor.ledger
        facts = grade_with_model(self.database, executor.plan, grader_name, parts, options, ledger)
        self.database.view_folder("graded", parts)
        return {"replies": [facts]}

    def run(self, query: Query, facts: dict[str, Any]) -> None:
        """Run one query of the stage."""
        what = f"{self.stage.name}: {query.name}"
        if query.kind is Kind.FACTS:
            facts[query.name] = self.database.records(query.sql, what)
        elif query.kind is Kind.EXPORT:
            self.database.write_jsonl(query.sql, self.folder / f"{query.name}.jsonl", what)
        elif query.kind is Kind.STAGED:
            stage_source(self.database, self.executor.plan, query, self.folder)
            self.temporary.append(query.name)
        elif query.kind is Kind.TEMP:
            self.database.execute(f"CREATE OR REPLACE TABLE {name(query.name)} AS {query.sql}", what)
            self.temporary.append(query.name)
        else:
            self.table(query, what)

    def table(self, query: Query, what: str) -> None:
        path = self.folder / f"{query.name}.parquet"
        if query.unless is not None:
            same, probe = query.unless
            if self.database.rows(probe, what)[0][0] == 0:
                self.database.execute(f"DROP VIEW {name(same)}", what)
                (self.folder / f"{same}.parquet").rename(path)
                self.database.view(query.name, path)
                return
        try:
            self.database.write_parquet(query.sql, path, what)
        except QueryError:
            if self.stage.verb == "loading":
                name_damaged_file(self.database, self.executor.plan)
            self.name_failing_part()
            raise
        self.database.view(query.name, path)
        if query.unless is not None:
            self.database.execute(f"DROP VIEW {name(query.unless[0])}", what)
            (self.folder / f"{query.unless[0]}.parquet").unlink()

    def name_failing_part(self) -> None:
        """Ask each rule or category of the stage by itself.

        Raises RecipeError for those that fail: their expression does not fit the data.
        """
        problems = []
        for place, sql in self.stage.parts:
            try:
                self.database.rows(f"SELECT COUNT(*) FROM ({sql}) AS part")
            except QueryError as error:
                file, _, line = place.rpartition(":")
                problems.append(Problem(file, int(line or 0), 1, f"does not fit the data: {error.reason}"))
        if problems:
            raise RecipeError(problems)


def as_reused(result: Result) -> Result:
    """A stored result as this run sees it: its calls were made and paid for by an earlier one."""
    if "replies" not in result.facts:
        return result
    replies = [
        {
            **reply,
            "calls_made": 0,
            "calls_reused": reply["calls_made"] + reply["calls_reused"],
            "cost_usd": 0.0,
            "bought_usd": round(reply["cost_usd"] + reply["bought_usd"], 8),
        }
        for reply in result.facts["replies"]
    ]
    return replace(result, facts={**result.facts, "replies": replies})


def plan_sql(plan: Plan) -> str:
    """Every statement of a plan in order, ready to paste into duckdb; results are made as tables, nothing is overwritten."""
    parts = [
        "-- Every statement of this run, in order. Paste it into duckdb: each result becomes a table of that database.\n"
        "-- Scores that came from a model or a file are read from tables/ beside this file.",
    ]
    for stage in plan.stages:
        if stage.job is not None:
            continue
        parts.append(f"-- {stage.name}")
        grader = plan.recipe.graders.get(stage.name.partition(".")[2]) if stage.verb == "grading" else None
        if grader is not None and (grader.model is not None or grader.table is not None):
            grader_name = stage.name.partition(".")[2]
            read = f"SELECT n, id, score, reason, reply FROM read_parquet('tables/grades.parquet') WHERE grader = {literal(grader_name)}"
            parts.append(f"CREATE OR REPLACE TABLE {name(f'grades.{grader_name}')} AS\n{read};")
            continue
        for query in stage.queries:
            if query.kind is Kind.FACTS:
                parts.append(f"-- counts: {query.name}\n{query.sql};")
            else:
                parts.append(f"CREATE OR REPLACE TABLE {name(query.name)} AS\n{query.sql};")
    return "\n\n".join(parts) + "\n"


def stage_record(plan: Plan) -> str:
    """What the next `plan` compares itself with: settings and inputs of each stage, as JSON."""
    record = {
        stage.name: {
            "fingerprint": stage.fingerprint,
            "settings": stage.settings,
            "inputs": dict(stage.inputs),
        }
        for stage in plan.stages
    }
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False)
