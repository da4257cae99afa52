"""Grades rows with a model: the inference loop with rows or turns as items, and Parquet files of grades as the sink."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.execution.graded_items import GradeSink, Item, TurnSink, count_items, grade_of, stream
from alpaqual.execution.options import Progress, Watcher
from alpaqual.inference.client import InferenceClient
from alpaqual.inference.loop import InferenceLoop
from alpaqual.values import Grade, Reply, Request, Row

PILOT = "pilot"
"""Table of the rows (`n`) that are graded first."""
PILOT_ROWS, OTHER_ROWS = f"n IN (SELECT n FROM {PILOT})", f"n NOT IN (SELECT n FROM {PILOT})"
"""Conditions (SQL) of the rows that are graded first, and of all others."""


class RowTask:
    """A grader's plug-in as the task of an inference loop."""

    def __init__(self, plugin: GraderPlugin) -> None:
        self.plugin = plugin

    def id(self, item: Item) -> str:
        """The id of the row or the turn."""
        return item.id

    def request(self, item: Item) -> Request:
        """The request that asks for the score."""
        return self.plugin.request(item.row)

    def read(self, reply: Reply) -> Grade:
        """The grade that a reply gives."""
        return self.plugin.read(reply)

    def follow_up(self, request: Request, result: Grade, attempt: int) -> Request | None:
        """Another request where the reply held no score."""
        return None if result.score is not None else self.plugin.follow_up(request, result, attempt)


class Grading:
    """Grades the rows of an engine that meet the condition `only` (SQL on `n`): as a whole, or turn by turn for a TurnSink."""

    def __init__(
        self,
        name: str,
        plugin: GraderPlugin,
        client: InferenceClient,
        engine: Engine,
        sink: GradeSink,
        only: str = "TRUE",
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.client = client
        self.engine = engine
        self.sink = sink
        self.only = only
        self.turns = isinstance(sink, TurnSink)
        total = count_items(engine, only, turns=self.turns)
        self.loop = InferenceLoop(f"grader {name}", RowTask(plugin), client, total, items=self.items)

    @property
    def items(self) -> str:
        """What is graded, in words."""
        return "turns" if self.turns else "rows"

    @property
    def unscored(self) -> int:
        """Number of items without a score so far."""
        return self.sink.reasons.total()

    def progress(self) -> Progress:
        """Items, calls, cost and time so far."""
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
            self.items,
            self.client.budget.price.known,
        )

    def facts(self) -> dict[str, Any]:
        """Calls, tokens, cost and time for the seal of the stage; `again` counts the items that got no reply."""
        usage, missing = self.client.usage, self.loop.without_reply
        return {
            "calls_made": usage.calls_made,
            "calls_reused": usage.calls_reused,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": round(usage.cost_usd, 8),
            "bought_usd": round(usage.original_cost_usd, 8),
            "lost_usd": round(self.client.budget.lost_usd, 8),
            "cache_read_tokens": usage.cache.read,
            "cache_write_tokens": usage.cache.written,
            "cache_saved_usd": round(self.client.budget.price.saved(usage.cache), 8),
            "priced": self.client.budget.price.known,
            "faults": usage.faults,
            "seconds": round(self._seconds(), 3),
            "models": list(self.client.models),
            "unsent": list(self.client.unsent),
            "again": len(missing),
            "again_digest": hashlib.sha256("".join(sorted(missing)).encode()).hexdigest(),
        }

    async def grade_rows(self, condition: str, watch: Watcher | None = None, *, last: bool = True) -> None:
        """Grade the rows that meet a condition (SQL); `last` where no other rows follow.

        Raises StageError where sending had to stop, StoreError where a reply cannot be kept, KeyboardInterrupt.
        """
        on_progress = None if watch is None else lambda: watch(self.progress())
        items = stream(self.engine, f"{self.only} AND {condition}", turns=self.turns, skipped=self.sink.skip)
        await self.loop.process(items, self.sink, on_progress, last=last)

    async def grades(self, rows: Sequence[Row], repeat: int = 0) -> list[Grade]:
        """The grades of a few rows, in their order, without storing them. Raises what `grade_rows` does."""
        outcomes = await self.loop.collect([Item(0, row) for row in rows], repeat)
        return [grade_of(outcome) for outcome in outcomes]

    def stream(self, condition: str) -> Iterator[Item]:
        """The rows, or turns of rows, to grade that meet a condition (SQL)."""
        return stream(self.engine, f"{self.only} AND {condition}", turns=self.turns)

    def original_cost(self, extra: Iterable[Request] = ()) -> float:
        """Cost in US dollars of the ledger's replies about all rows, and to `extra` requests, when first bought."""
        requests = (self.plugin.request(item.row) for item in self.stream("TRUE"))
        return self.loop.original_cost(itertools.chain(requests, extra))

    def _seconds(self) -> float:
        return time.monotonic() - self.loop.started


def first_rows(only: str, count: int) -> str:
    """SQL: the numbers of `count` rows that meet a condition, pseudo-random and the same on each run."""
    return f"SELECT n FROM rows WHERE {only} ORDER BY MD5(id), id LIMIT {count}"
