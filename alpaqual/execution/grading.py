"""Asks a grader's model about every row: from the ledger where it can, and never more at once than it should."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.errors import BudgetReached, Fault, FaultKind, StageError, StoreError
from alpaqual.execution.options import Progress
from alpaqual.inference.client import InferenceClient
from alpaqual.inference.price import dollars
from alpaqual.store.grades import GradeParts
from alpaqual.values import Grade, Reply, Request, Row

_BATCH = 2_000
_TELL_EVERY = 0.2
_IN_A_ROW = 100
"""So many rows one after the other without an answer: no more will come."""
_FLUSH_EVERY = 1.0
_YIELD_EVERY = 256
_ROWS = "SELECT n, id, COALESCE(instruction, ''), COALESCE(input, ''), COALESCE(response, '') FROM rows"
PILOT = "pilot"
"""Table of the rows (`n`) that are graded before all others."""
PILOT_ROWS, OTHER_ROWS = f"n IN (SELECT n FROM {PILOT})", f"n NOT IN (SELECT n FROM {PILOT})"
"""Conditions (SQL) of the rows that go first, and of all others."""


class Grading:
    """One grader at work on the rows of a database; grades go into `parts` in the order in which they come.

    `only` is a condition (SQL) on `n` that the rows to be graded meet.
    """

    def __init__(
        self,
        name: str,
        plugin: GraderPlugin,
        client: InferenceClient,
        database: Engine,
        parts: GradeParts,
        only: str = "TRUE",
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.client = client
        self.database = database
        self.parts = parts
        self.only = only
        self.rows = int(database.facts(f"SELECT COUNT(*) AS rows FROM rows WHERE {only}", name)[0]["rows"])
        self.done = self.unscored = 0
        self.asked_again: list[str] = []
        self.in_a_row = 0
        self.scores: Counter[float] = Counter()
        self.reasons: Counter[str] = Counter()
        self.stopped: BaseException | None = None
        self.began = time.monotonic()
        self.flushed = self.told = self.began

    def progress(self) -> Progress:
        """How far it is."""
        tally = self.client.tally
        seconds = time.monotonic() - self.began
        return Progress(self.name, self.done, self.rows, tally.made, tally.reused, self.unscored, tally.cost, seconds)

    def facts(self) -> dict[str, Any]:
        """What asking came to, for the seal of the stage; `again` tells apart which rows would be asked again."""
        tally = self.client.tally
        return {
            "calls_made": tally.made,
            "calls_reused": tally.reused,
            "input_tokens": tally.input_tokens,
            "output_tokens": tally.output_tokens,
            "cost_usd": round(tally.cost, 8),
            "bought_usd": round(tally.bought, 8),
            "faults": tally.faults,
            "seconds": round(time.monotonic() - self.began, 3),
            "models": list(self.client.models),
            "again": len(self.asked_again),
            "again_digest": hashlib.sha256("".join(sorted(self.asked_again)).encode()).hexdigest(),
        }

    async def grade_rows(self, condition: str, watch: Any = None) -> None:
        """Grade the rows that meet a condition (SQL), as many at once as the pace allows.

        Raises StageError where asking had to stop, StoreError where a reply cannot be kept, KeyboardInterrupt.
        """
        rows = stream(self.database, f"{self.only} AND {condition}")
        # Twice as many as may be in flight: a row that waits for its next attempt holds nobody up.
        workers = [asyncio.create_task(self.work(rows, watch)) for _ in range(2 * self.client.pace.rate.concurrency)]
        with self.interruptible(workers):
            await asyncio.gather(*workers, return_exceptions=True)
        self.client.ledger.flush()
        self.parts.write()
        self.raise_stop()

    def raise_stop(self) -> None:
        """Raise what stopped asking, if anything did."""
        if self.stopped is not None:
            raise self.stopped

    def bought(self, more: Iterable[Request] = ()) -> float:
        """What the ledger's replies for these rows, and for `more` requests, cost when they were new, in US dollars."""
        costs: dict[str, float] = {}
        rows = (self.plugin.request(row) for _, row in stream(self.database, self.only))
        for first in itertools.chain(rows, more) if len(self.client.ledger) else ():
            costs |= {key: reply.cost_usd or 0.0 for key, _, reply in self.asked(first) if reply is not None}
        return sum(costs.values())

    def asked(self, first: Request) -> Iterator[tuple[str, Request, Reply | None]]:
        """(key, request, reply of the ledger) of a question and of those that its replies led to; only the last may lack a reply."""
        request: Request | None = first
        for times in itertools.count(1):
            if request is None:
                return
            key = self.client.ledger.key(request)
            reply = self.client.ledger.get(key)
            yield key, request, reply
            if reply is None:
                return
            grade = self.plugin.read(reply)
            request = None if grade.score is not None else self.plugin.again(first, grade, times)

    async def together(self, rows: Sequence[Row], repeat: int = 0) -> list[Grade]:
        """The grades of some rows, asked about at once; Control-C keeps what is in flight.

        Raises what `grade_rows` does.
        """
        tasks = [asyncio.create_task(self.grade(row, repeat)) for row in rows]
        with self.interruptible(tasks):
            grades = await asyncio.gather(*tasks, return_exceptions=True)
        self.client.ledger.flush()
        self.raise_stop()
        found = []
        for row, grade in zip(rows, grades, strict=True):
            if isinstance(grade, BaseException):
                raise grade
            if grade.again:
                # Without an answer there is no last word on the grader either.
                self.asked_again.append(f"{row.id} {repeat}")
            found.append(grade)
        return found

    def halted(self) -> bool:
        """Whether asking has stopped."""
        return self.stopped is not None

    async def work(self, rows: Iterator[tuple[int, Row]], watch: Any) -> None:
        """Take one row after the other until there is none or asking has stopped; what breaks one stops all."""
        try:
            await self.work_on(rows, watch)
        except Exception as error:
            self.stop(error)

    async def work_on(self, rows: Iterator[tuple[int, Row]], watch: Any) -> None:
        for n, row in rows:
            if self.halted():
                return
            grade = await self.grade(row)
            if self.halted() and grade.again:
                return
            self.keep(n, row.id, grade)
            if self.done % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            now = time.monotonic()
            if now - self.flushed > _FLUSH_EVERY:
                self.flushed = now
                await asyncio.to_thread(self.client.ledger.flush)
            if watch is not None and now - self.told > _TELL_EVERY:
                self.told = now
                watch(self.progress())

    async def grade(self, row: Row, repeat: int = 0) -> Grade:
        """The grade of one row; asked again, in plainer words, where a reply holds no score."""
        first = request = replace(self.plugin.request(row), repeat=repeat)
        grade: Grade | None = None
        times = 0
        while True:
            try:
                reply = await self.client.ask(request)
            except Fault as fault:
                return self.faulted(fault, grade)
            except (BudgetReached, StoreError) as stop:
                self.stop(stop)
                return Grade(None, "not asked", again=True)
            grade = self.plugin.read(reply)
            times += 1
            following = None if grade.score is not None else self.plugin.again(first, grade, times)
            if following is None:
                return grade
            request = following

    def faulted(self, fault: Fault, grade: Grade | None) -> Grade:
        """What a row gets whose request got no reply; `grade` is what an earlier reply gave."""
        again = fault.kind in (FaultKind.TRANSIENT, FaultKind.THROTTLED)
        if fault.kind is FaultKind.FATAL:
            self.stop(fault)
            again = True
        return replace(grade, again=again) if grade is not None else Grade(None, fault.reason, again=again)

    def keep(self, n: int, row_id: str, grade: Grade) -> None:
        """Put a grade with the others."""
        self.done += 1
        if grade.score is not None:
            self.scores[grade.score] += 1
        else:
            self.unscored += 1
            self.reasons[str(grade.reason)] += 1
        if grade.again:
            self.asked_again.append(row_id)
            self.in_a_row += 1
            if self.in_a_row >= max(_IN_A_ROW, 2 * self.client.pace.rate.concurrency) and not self.client.offline:
                self.stop(Fault(FaultKind.FATAL, f"the last {self.in_a_row:,} rows got no answer", str(grade.reason)))
        else:
            self.in_a_row = 0
        self.parts.add(n, row_id, grade)
        if len(self.parts) >= _BATCH:
            # What the replies say counts only when the disk has the replies.
            self.client.ledger.flush()
            self.parts.write()

    def stop(self, why: BaseException) -> None:
        """Send nothing more; what is in flight may still come back."""
        if self.stopped is None:
            self.stopped = self.explained(why)
            self.client.pace.close()

    def explained(self, why: BaseException) -> BaseException:
        """Why asking stopped, for a person."""
        if not isinstance(why, BudgetReached | Fault):
            return why
        so_far = f"{self.done:,} of {self.rows:,} rows are graded and kept"
        if isinstance(why, BudgetReached):
            rows_left = self.rows - self.done
            each = self.client.tally.cost / self.client.tally.made if self.client.tally.made else 0.0
            more = f"; the {rows_left:,} left need about {dollars(each * rows_left)} more" if each else ""
            return StageError(
                f"grader {self.name}: {why}; {so_far}{more}. Allow more and run again: nothing is paid for twice"
            )
        return StageError(f"grader {self.name}: {why}; {so_far}. Mend that and run again: nothing is paid for twice")

    @contextlib.contextmanager
    def interruptible(self, workers: Sequence[asyncio.Task[Any]]) -> Iterator[None]:
        """Control-C: the first stops sending and waits for what is in flight, the second waits for nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt() -> None:
            if self.stopped is None:
                self.stop(KeyboardInterrupt())
            else:
                for worker in workers:
                    worker.cancel()

        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(signal.SIGINT)


def stream(database: Engine, condition: str) -> Iterator[tuple[int, Row]]:
    """The rows that meet a condition (SQL), with their numbers; few of them in memory."""
    for batch in database.rows(f"{_ROWS} WHERE {condition}", _BATCH):
        for n, *texts in batch:
            yield n, Row(*texts)


def first_rows(only: str, count: int) -> str:
    """SQL: the numbers of so many of the rows that meet a condition, the same ones each time, and as good as chance."""
    return f"SELECT n FROM rows WHERE {only} ORDER BY MD5(id), id LIMIT {count}"
