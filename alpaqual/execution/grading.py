"""Grades rows with a model: the inference loop with rows or turns as items, and Parquet files of grades as the sink."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.execution.graded_items import (
    WHOLE_ROWS,
    GradeSink,
    Item,
    Reading,
    count_items,
    grade_of,
    mean_of_samples,
    stream,
)
from alpaqual.execution.options import Progress, Watcher
from alpaqual.execution.reply_facts import progress_of, reply_facts
from alpaqual.inference.client import InferenceClient
from alpaqual.inference.loop import InferenceLoop
from alpaqual.values import Grade, Reply, Request, Row

PILOT = "pilot"
"""Table of the rows (`n`) that are graded first."""
PILOT_ROWS, OTHER_ROWS = f"n IN (SELECT n FROM {PILOT})", f"n NOT IN (SELECT n FROM {PILOT})"
"""Conditions (SQL) of the rows that are graded first, and of all others."""


class RowTask:
    """A grader's plug-in as the task of an inference loop."""

    def __init__(self, plugin: GraderPlugin, reading: Reading) -> None:
        self.plugin = plugin
        self.reading = reading

    def id(self, item: Item) -> str:
        """The id of the row, the turn or the sample."""
        return item.id

    def request(self, item: Item) -> Request:
        """The request that asks for the score."""
        return self.reading.request(self.plugin, item)

    def read(self, reply: Reply) -> Grade:
        """The grade that a reply gives."""
        return self.plugin.read(reply)

    def follow_up(self, request: Request, result: Grade, attempt: int) -> Request | None:
        """Another request where the reply held no score."""
        return None if result.values else self.plugin.follow_up(request, result, attempt)


class Grading:
    """Grades the rows of an engine that meet the condition `only` (SQL on `n`), read as `reading` says."""

    def __init__(  # noqa: PLR0913 - what is asked, of whom, about which rows
        self,
        name: str,
        plugin: GraderPlugin,
        client: InferenceClient,
        engine: Engine,
        sink: GradeSink,
        only: str = "TRUE",
        reading: Reading = WHOLE_ROWS,
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.client = client
        self.engine = engine
        self.sink = sink
        self.only = only
        self.reading = reading
        total = count_items(engine, only, reading)
        self.loop = InferenceLoop(f"grader {name}", RowTask(plugin, reading), client, total, items=self.items)

    @property
    def items(self) -> str:
        """What is graded, in words."""
        return self.reading.items

    @property
    def unscored(self) -> int:
        """Number of rows, or turns, without a score so far."""
        return self.sink.reasons.total()

    def progress(self) -> Progress:
        """Items, calls, cost and time so far."""
        return progress_of(self.loop, self.name, self.unscored)

    def facts(self) -> dict[str, Any]:
        """Calls, tokens, cost and time for the seal of the stage; `again` counts the items that got no reply."""
        return reply_facts(self.loop)

    async def grade_rows(self, condition: str, watch: Watcher | None = None, *, last: bool = True) -> None:
        """Grade the rows that meet a condition (SQL); `last` where no other rows follow.

        Raises StageError where sending had to stop, StoreError where a reply cannot be kept, KeyboardInterrupt.
        """
        on_progress = None if watch is None else lambda: watch(self.progress())
        items = stream(self.engine, f"{self.only} AND {condition}", self.reading, skipped=self.sink.skip)
        await self.loop.process(items, self.sink, on_progress, last=last)

    async def grades(self, rows: Sequence[Row], repeat: int = 0) -> list[Grade]:
        """The grades of a few rows, in their order, without storing them; `repeat` asks about them once more.

        Raises what `grade_rows` does.
        """
        samples = self.reading.samples
        items = [Item(0, row, sample=sample) for row in rows for sample in range(samples)]
        outcomes = await self.loop.collect(items, repeat * samples)
        found = [grade_of(outcome) for outcome in outcomes]
        if samples == 1:
            return found
        return [mean_of_samples(found[start : start + samples]) for start in range(0, len(found), samples)]

    def stream(self, condition: str) -> Iterator[Item]:
        """The rows, or turns of rows, to grade that meet a condition (SQL)."""
        return stream(self.engine, f"{self.only} AND {condition}", self.reading)

    def original_cost(self, extra: Iterable[Request] = ()) -> float:
        """Cost in US dollars of the ledger's replies about all rows, and to `extra` requests, when first bought."""
        requests = (self.reading.request(self.plugin, item) for item in self.stream("TRUE"))
        return self.loop.original_cost(itertools.chain(requests, extra))


def first_rows(only: str, count: int) -> str:
    """SQL: the numbers of `count` rows that meet a condition, pseudo-random and the same on each run."""
    return f"SELECT n FROM rows WHERE {only} ORDER BY MD5(id), id LIMIT {count}"
