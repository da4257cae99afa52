"""The handler of stages whose results are in the store: statements run by the engine, sealed under the fingerprint."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from alpaqual.errors import Problem, QueryError, RecipeError
from alpaqual.execution.execution import Execution, StageResult
from alpaqual.plan.facts import convert_facts
from alpaqual.plan.stage import Export, KeptTable, Stage, Statement, TemporaryTable, fingerprint
from alpaqual.store.store import Result

S = TypeVar("S", bound=Stage)

_LINES = 1_000

REPLIES = "replies"
"""Fact of a stage that sent requests to a model: its calls and their cost."""


class StoredHandler(Generic[S]):
    """Runs a stage's statements in a folder of the store. Kinds with more work override `prepare` and `explain_failure`."""

    def __init__(self, execution: Execution, stage: S) -> None:
        self.execution = execution
        self.stage = stage

    @property
    def key(self) -> str:
        """What the result is stored under."""
        return self.execution.key(self.stage)

    def check(self) -> None:
        """Pass: most stages have no requirements of the machine."""

    def exists(self) -> bool:
        """Whether the store has a result of the stage's fingerprint."""
        return self.execution.store.find(self.stage.fingerprint) is not None

    def find(self) -> Result | None:
        """The stored result; calls that an earlier run made count as reused."""
        found = self.execution.store.find(self.key)
        return None if found is None else as_reused(found)

    def skip(self) -> StageResult | None:
        """None: a stored stage of the data always runs."""
        return None

    def make(self) -> StageResult:
        """Run the statements and seal their files and facts."""
        execution, stage = self.execution, self.stage
        execution.view_inputs(stage)
        with execution.store.making() as folder:
            facts = _Statements(self, folder).facts()
            # Facts of another type would fail every run that reuses this result.
            convert_facts(facts, stage.facts)
            key = self.key
            if incomplete := next(
                (reply["again_digest"] for reply in facts.get(REPLIES, ()) if reply.get("again")), None
            ):
                # A later run repeats the requests without a reply, so this result is not final.
                key = fingerprint([key, incomplete])
            result = execution.store.seal(folder, key, facts, stage.all_settings, stage.input_fingerprints)
            # If an identical result is already stored, keep this run's call counts and cost.
            own = {REPLIES: facts[REPLIES]} if REPLIES in facts else {}
            return replace(result, facts={**result.facts, **own})

    @contextmanager
    def prepare(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Work before the statements: yields facts to keep, and cleans up afterwards. `folder` is the stage's own."""
        yield {}

    def after(self, statement: Statement, facts: dict[str, Any]) -> None:
        """Work after one statement; adds to the facts that are kept."""

    def finish(self, folder: Path) -> dict[str, Any]:
        """Work after the statements, while their tables are there: returns facts to keep."""
        return {}

    def explain_failure(self, error: QueryError) -> NoReturn:
        """Raise what a person needs to know of a statement that failed.

        Raises RecipeError for each part of the statement that fails alone: its expression does not fit the data.
        """
        problems = []
        for place, sql in self.stage.parts:
            try:
                self.execution.engine.facts(f"SELECT COUNT(*) FROM ({sql}) AS part", self.stage.name)
            except QueryError as failure:
                file, _, line = place.rpartition(":")
                problems.append(Problem(file, int(line or 0), 1, f"does not fit the data: {failure.reason}"))
        if problems:
            raise RecipeError(problems) from None
        raise error


class _Statements:
    """The statements of one stage, run in its folder."""

    def __init__(self, handler: StoredHandler[Any], folder: Path) -> None:
        self.handler = handler
        self.stage: Stage = handler.stage
        self.folder = folder
        self.engine = handler.execution.engine

    def facts(self) -> dict[str, Any]:
        """Run all statements; returns the facts that they and the preparation leave."""
        try:
            with self.handler.prepare(self.folder) as facts:
                self.check_needs()
                for statement in self.stage.statements:
                    self.run(statement, facts)
                facts.update(self.handler.finish(self.folder))
        finally:
            for statement in self.stage.statements:
                # Views on this folder's files end with it: later stages view the sealed files.
                if isinstance(statement, TemporaryTable | KeptTable):
                    self.engine.drop(statement.table.name)
        return facts

    def check_needs(self) -> None:
        """Raise RecipeError with every need that the data does not meet."""
        problems = []
        for need in self.stage.needs:
            for found in self.engine.facts(need.query, f"{self.stage.name}: needs"):
                message = need.problem.message
                for key, value in found.items():
                    message = message.replace(f"{{{key}}}", value)
                problems.append(need.problem._replace(message=message))
        if problems:
            raise RecipeError(problems)

    def run(self, statement: Statement, facts: dict[str, Any]) -> None:
        """Run one statement."""
        if isinstance(statement, TemporaryTable):
            self.engine.create(statement.table.name, statement.sql, f"{self.stage.name}: {statement.table.name}")
            self.handler.after(statement, facts)
        elif isinstance(statement, KeptTable):
            self.keep(statement, f"{self.stage.name}: {statement.table.name}")
            self.handler.after(statement, facts)
        elif isinstance(statement, Export):
            self.export(statement, self.folder / f"{statement.table.name}.jsonl")
        else:
            facts[statement.name] = self.engine.facts(statement.sql, f"{self.stage.name}: {statement.name}")

    def export(self, statement: Export, target: Path) -> None:
        """Write JSON Lines: of the engine's making, or the query's own lines."""
        if not statement.lines:
            self.engine.export(statement.sql, target, f"{self.stage.name}: {statement.table.name}")
            return
        with target.open("w", encoding="utf-8", newline="") as stream:
            for batch in self.engine.rows(statement.sql, _LINES):
                stream.writelines(f"{line}\n" for (line,) in batch)

    def keep(self, statement: KeptTable, what: str) -> None:
        """Store a table, or rename the table of `unless`."""
        path = self.path(statement.table.name)
        same = None if statement.unless is None else self.path(statement.unless[0].name)
        if same is not None and statement.unless is not None:
            replaced, probe = statement.unless
            (counted,) = self.engine.facts(probe, what)
            if not any(counted.values()):
                self.engine.drop(replaced.name)
                same.rename(path)
                self.engine.view(statement.table.name, [path])
                return
        try:
            self.engine.table(statement.table.name, statement.sql, path, what)
        except QueryError as error:
            self.handler.explain_failure(error)
        if same is not None and statement.unless is not None:
            self.engine.drop(statement.unless[0].name)
            same.unlink()

    def path(self, table: str) -> Path:
        return self.folder / f"{table}.parquet"


def as_reused(result: Result) -> Result:
    """A stored result as this run reports it: an earlier run made and paid for its calls."""
    if REPLIES not in result.facts:
        return result
    replies = [
        {
            **reply,
            "calls_made": 0,
            "calls_reused": reply["calls_made"] + reply["calls_reused"],
            "cost_usd": 0.0,
            "bought_usd": round(reply["cost_usd"] + reply["bought_usd"], 8),
            "lost_usd": 0.0,
        }
        for reply in result.facts[REPLIES]
    ]
    return replace(result, facts={**result.facts, REPLIES: replies})


def remove_folder(path: Path) -> None:
    """Delete a working folder of a stage."""
    shutil.rmtree(path, ignore_errors=True)
