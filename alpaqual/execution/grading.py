"""Grades rows with a model: the inference loop with rows as items, and Parquet files of grades as the sink."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.conversation.normal_form import Conversation
from alpaqual.conversation.rendering import transcript
from alpaqual.execution.options import Progress, Watcher
from alpaqual.inference.client import InferenceClient
from alpaqual.inference.loop import InferenceLoop, Outcome
from alpaqual.store.grades import GradeParts
from alpaqual.values import Grade, Reply, Request, Row

_ROWS_PER_QUERY = 2_000
_ROWS = "SELECT n, id, COALESCE(instruction, ''), COALESCE(input, ''), COALESCE(response, ''), {0} FROM rows"
PILOT = "pilot"
"""Table of the rows (`n`) that are graded first."""
PILOT_ROWS, OTHER_ROWS = f"n IN (SELECT n FROM {PILOT})", f"n NOT IN (SELECT n FROM {PILOT})"
"""Conditions (SQL) of the rows that are graded first, and of all others."""

NumberedRow = tuple[int, Row]
"""A row with its number `n`; 0 for a row that is not in the table `rows`."""


class RowTask:
    """A grader's plug-in as the task of an inference loop."""

    def __init__(self, plugin: GraderPlugin) -> None:
        self.plugin = plugin

    def id(self, item: NumberedRow) -> str:
        """The row's id."""
        return item[1].id

    def request(self, item: NumberedRow) -> Request:
        """The request that asks for the row's score."""
        return self.plugin.request(item[1])

    def read(self, reply: Reply) -> Grade:
        """The grade that a reply gives."""
        return self.plugin.read(reply)

    def follow_up(self, request: Request, result: Grade, attempt: int) -> Request | None:
        """Another request where the reply held no score."""
        return None if result.score is not None else self.plugin.follow_up(request, result, attempt)


class GradeSink:
    """Writes grades into `parts`, and counts scores and reasons."""

    def __init__(self, parts: GradeParts) -> None:
        self.parts = parts
        self.scores: Counter[float] = Counter()
        self.reasons: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.parts)

    def add(self, item: NumberedRow, outcome: Outcome[Grade]) -> None:
        """Add the grade of one row."""
        n, row = item
        grade = grade_of(outcome)
        if grade.score is not None:
            self.scores[grade.score] += 1
        else:
            self.reasons[str(grade.reason)] += 1
        self.parts.add(n, row.id, grade)

    def write(self) -> None:
        """Write the grades that were added since."""
        self.parts.write()


class Grading:
    """Grades the rows of an engine that meet the condition `only` (SQL on `n`)."""

    def __init__(
        self,
        name: str,
        plugin: GraderPlugin,
        client: InferenceClient,
        engine: Engine,
        parts: GradeParts,
        only: str = "TRUE",
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.client = client
        self.engine = engine
        self.sink = GradeSink(parts)
        self.only = only
        rows = int(engine.facts(f"SELECT COUNT(*) AS rows FROM rows WHERE {only}", name)[0]["rows"])
        self.loop = InferenceLoop(f"grader {name}", RowTask(plugin), client, rows, items="rows")

    @property
    def unscored(self) -> int:
        """Number of rows without a score so far."""
        return self.sink.reasons.total()

    def progress(self) -> Progress:
        """Rows, calls, cost and time so far."""
        usage, loop = self.client.usage, self.loop
        return Progress(
            self.name,
            loop.done,
            loop.total,
            usage.calls_made,
            usage.calls_reused,
            self.unscored,
            usage.cost_usd,
            self._seconds(),
        )

    def facts(self) -> dict[str, Any]:
        """Calls, tokens, cost and time for the seal of the stage; `again` identifies the rows that got no reply."""
        usage, missing = self.client.usage, self.loop.without_reply
        return {
            "calls_made": usage.calls_made,
            "calls_reused": usage.calls_reused,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": round(usage.cost_usd, 8),
            "bought_usd": round(usage.original_cost_usd, 8),
            "faults": usage.faults,
            "seconds": round(self._seconds(), 3),
            "models": list(self.client.models),
            "again": len(missing),
            "again_digest": hashlib.sha256("".join(sorted(missing)).encode()).hexdigest(),
        }

    async def grade_rows(self, condition: str, watch: Watcher | None = None) -> None:
        """Grade the rows that meet a condition (SQL).

        Raises StageError where sending had to stop, StoreError where a reply cannot be kept, KeyboardInterrupt.
        """
        on_progress = None if watch is None else lambda: watch(self.progress())
        await self.loop.process(self.stream(condition), self.sink, on_progress)

    async def grades(self, rows: Sequence[Row], repeat: int = 0) -> list[Grade]:
        """The grades of a few rows, in their order, without storing them. Raises what `grade_rows` does."""
        outcomes = await self.loop.collect([(0, row) for row in rows], repeat)
        return [grade_of(outcome) for outcome in outcomes]

    def stream(self, condition: str) -> Iterator[NumberedRow]:
        """The rows to grade that meet a condition (SQL)."""
        return stream(self.engine, f"{self.only} AND {condition}")

    def original_cost(self, extra: Iterable[Request] = ()) -> float:
        """Cost in US dollars of the ledger's replies about all rows, and to `extra` requests, when first bought."""
        requests = (self.plugin.request(row) for _, row in stream(self.engine, self.only))
        return self.loop.original_cost(itertools.chain(requests, extra))

    def _seconds(self) -> float:
        return time.monotonic() - self.loop.started


def grade_of(outcome: Outcome[Grade]) -> Grade:
    """The grade of an outcome; without a reply, the fault's reason."""
    if outcome.result is None:
        return Grade(None, outcome.fault.reason if outcome.fault else None, retry=outcome.retry)
    return replace(outcome.result, retry=outcome.retry)


def stream(engine: Engine, condition: str) -> Iterator[NumberedRow]:
    """The rows that meet a condition (SQL), with their numbers; a few thousand are in memory."""
    turns = "messages" if "turns" in engine.columns("rows") else "NULL"
    for batch in engine.rows(f"{_ROWS.format(turns)} WHERE {condition}", _ROWS_PER_QUERY):
        for n, *texts, messages in batch:
            row = Row(*texts)
            if messages is not None:
                row = replace(row, conversation=transcript(Conversation(json.loads(messages))))
            yield n, row


def first_rows(only: str, count: int) -> str:
    """SQL: the numbers of `count` rows that meet a condition, pseudo-random and the same on each run."""
    return f"SELECT n FROM rows WHERE {only} ORDER BY MD5(id), id LIMIT {count}"
