"""The inference loop: items -> requests -> replies -> results -> a sink.

It knows neither rows nor SQL. Rows are graded with it; so can be any items, such as pairs of answers in both orders.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from alpaqual.amounts import dollars
from alpaqual.contracts import Ledger
from alpaqual.errors import BudgetReached, Fault, FaultKind, StageError, StoreError, Terminated
from alpaqual.inference.client import InferenceClient
from alpaqual.values import Reply, Request

Item = TypeVar("Item")
Result = TypeVar("Result")
Item_contra = TypeVar("Item_contra", contravariant=True)

_WRITE_EVERY = 2_000
"""Results in memory at most, before they are written."""
_PROGRESS_SECONDS = 0.2
_FLUSH_SECONDS = 1.0
_YIELD_EVERY = 256
_LEARN_FROM = 200
"""Replies of the ledger that show how many tokens a prompt has."""
_MAX_WITHOUT_REPLY = 100
"""Abort after this many consecutive items without a reply."""
_RERUN = "Fix the cause and rerun; completed replies are not billed again."
_RERUN_BUDGET = "Raise the limit and rerun; completed replies are not billed again."


class Task(Protocol[Item_contra, Result]):
    """What to ask about an item, and how to read the reply."""

    def id(self, item: Item_contra) -> str:
        """The item's id, which is the same on every run."""
        ...

    def request(self, item: Item_contra) -> Request:
        """The first request about an item."""
        ...

    def read(self, reply: Reply) -> Result:
        """The result that a reply gives, usable or not."""
        ...

    def follow_up(self, request: Request, result: Result, attempt: int) -> Request | None:
        """The request after the `attempt`-th unusable reply, given the first request; None where the result is final."""
        ...


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of an item: the result of its last reply, and the fault of a request that got no reply."""

    result: Result | None
    fault: Fault | None = None

    @property
    def retry(self) -> bool:
        """Whether the next run may get a reply."""
        return self.fault is not None and self.fault.kind is not FaultKind.REQUEST


class Sink(Protocol[Item_contra, Result]):
    """Takes the outcomes, in the order in which they are complete; its length is the number of unwritten ones."""

    def __len__(self) -> int: ...

    def add(self, item: Item_contra, outcome: Outcome[Result]) -> None:
        """Take one outcome."""
        ...

    def write(self) -> None:
        """Write the outcomes that were added since; their replies are on the disk already."""
        ...


def following_request(
    task: Task[Item, Result], first: Request, request: Request, result: Result, attempt: int
) -> Request | None:
    """The request after this one; a request with other parameters than the first is the last."""
    return None if request.parameters != first.parameters else task.follow_up(first, result, attempt)


def requests_about(
    task: Task[Item, Result], ledger: Ledger, first: Request
) -> Iterator[tuple[str, Request, Reply | None]]:
    """(key, request, reply in the ledger) of a first request and its follow-ups; only the last may lack a reply."""
    request: Request | None = first
    for attempt in itertools.count(1):
        if request is None:
            return
        key = ledger.key(request)
        reply = ledger.get(key)
        yield key, request, reply
        if reply is None:
            return
        request = following_request(task, first, request, task.read(reply), attempt)


class InferenceLoop(Generic[Item, Result]):
    """Sends a request for each item, as many at once as the rate limits allow; outcomes come in any order."""

    def __init__(
        self, name: str, task: Task[Item, Result], client: InferenceClient, total: int, *, items: str = "items"
    ) -> None:
        """`name` and `items` are for messages: "grader accuracy", "rows"; `total` is the number of items."""
        self.name = name
        self.task = task
        self.client = client
        self.total = total
        self.items = items
        self.done = 0
        self.without_reply: list[str] = []
        """Ids of the items that the next run asks about again; a repeat has its number behind the id."""
        self.stopped: BaseException | None = None
        self.started = time.monotonic()
        self._unsettled: list[tuple[Item, Outcome[Result]]] = []
        self._without_reply_in_a_row = 0
        self._flushed_at = self._progress_at = self.started

    async def process(
        self,
        items: Iterable[Item],
        sink: Sink[Item, Result],
        on_progress: Callable[[], None] | None = None,
        *,
        last: bool = True,
    ) -> None:
        """Send every item's requests and add its outcome to the sink; `last` where no more items follow.

        Raises StageError where sending had to stop, StoreError where a reply cannot be kept, KeyboardInterrupt.
        """
        shared = iter(items)
        # Twice the concurrency: an item that waits for a retry leaves its place to another.
        count = 2 * self.client.rate_limiter.limits.concurrency
        workers = [asyncio.create_task(self._work(shared, sink, on_progress)) for _ in range(count)]
        with self._interruptible(workers):
            await asyncio.gather(*workers, return_exceptions=True)
        if last and not self.is_stopped():
            self.client.settle_at_end()
            self._keep_settled(sink, every=True)
        self.client.ledger.flush()
        sink.write()
        self._raise_stop()

    async def collect(self, items: Sequence[Item], repeat: int = 0) -> list[Outcome[Result]]:
        """The outcomes of a few items, in their order; `repeat` is added to that of each request, to send it once more.

        Raises what `process` does.
        """
        tasks = [asyncio.create_task(self.outcome(item, repeat, few=True)) for item in items]
        with self._interruptible(tasks):
            found = await asyncio.gather(*tasks, return_exceptions=True)
        self.client.ledger.flush()
        self._raise_stop()
        outcomes = []
        for item, outcome in zip(items, found, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome.retry:
                self.without_reply.append(f"{self.task.id(item)} {repeat}")
            outcomes.append(outcome)
        return outcomes

    async def outcome(self, item: Item, repeat: int = 0, *, few: bool = False) -> Outcome[Result]:
        """The outcome of one item, after as many follow-up requests as the task asks for.

        With `few`, a later item with the same request does not count as a reused reply.
        """
        first = request = self.task.request(item)
        if repeat:
            first = request = replace(request, repeat=request.repeat + repeat)
        result: Result | None = None
        for attempt in itertools.count(1):
            try:
                reply = await self.client.send(request)
                if few:
                    self.client.counted.add(self.client.ledger.key(request))
            except Fault as fault:
                if fault.kind is FaultKind.FATAL:
                    self.stop(fault)
                return Outcome(result, fault)
            except (BudgetReached, StoreError) as error:
                self.stop(error)
                return Outcome(None, Fault(FaultKind.TRANSIENT, "not sent: the run is stopping"))
            result = self.task.read(reply)
            following = following_request(self.task, first, request, result, attempt)
            if following is None:
                break
            request = following
        return Outcome(result)

    def requests(self, first: Request) -> Iterator[tuple[str, Request, Reply | None]]:
        """(key, request, reply in the ledger) of a first request and its follow-ups; only the last may lack a reply."""
        return requests_about(self.task, self.client.ledger, first)

    def next_request(self, item: Item) -> Request | None:
        """The request that an item still needs, given the ledger; None where it is complete or got a fault in a batch."""
        *_, (key, request, reply) = self.requests(self.task.request(item))
        known = reply is not None or key in (self.client.batch_faults or {}) or self.client.refusal(key) is not None
        return None if known else request

    def original_cost(self, requests: Iterable[Request]) -> float:
        """Cost in US dollars of the ledger's replies to these first requests and their follow-ups, when first bought.

        Those that were bought while no price was known count at the present one.
        """
        if not len(self.client.ledger):
            return 0.0
        budget, costs = self.client.budget, dict[str, float]()
        for first in requests:
            for key, request, reply in self.requests(first):
                if reply is None:
                    continue
                costs[key] = budget.original_cost(request, reply)
                if len(costs) <= _LEARN_FROM or (reply.output_tokens or 0) > budget.tokens.reply_tokens:
                    budget.tokens.update(request, reply)
        return sum(costs.values())

    def stop(self, cause: BaseException) -> None:
        """Send no more requests; those in flight may still be answered."""
        if self.stopped is None:
            self.stopped = self.explained(cause)
            self.client.rate_limiter.close()

    def is_stopped(self) -> bool:
        """Whether sending has stopped."""
        return self.stopped is not None

    def explained(self, cause: BaseException) -> BaseException:
        """A StageError that says why sending stopped and how to continue; other errors stay as they are."""
        if not isinstance(cause, BudgetReached | Fault):
            return cause
        done = f"{self.done:,} of {self.total:,} {self.items} are completed"
        if isinstance(cause, BudgetReached):
            usage, left = self.client.usage, self.total - self.done
            each = usage.cost_usd / usage.calls_made if usage.calls_made else 0.0
            need = f"; the other {left:,} need about {dollars(each * left)} more" if each else ""
            return StageError(f"{self.name}: {cause}; {done}{need}. {_RERUN_BUDGET}")
        return StageError(f"{self.name}: {cause}; {done}. {_RERUN}")

    async def _work(
        self, items: Iterator[Item], sink: Sink[Item, Result], on_progress: Callable[[], None] | None
    ) -> None:
        """Process one item after the other; an error stops all workers."""
        try:
            for item in items:
                if self.is_stopped():
                    return
                outcome = await self.outcome(item)
                if self.is_stopped() and outcome.retry:
                    return
                if outcome.fault is not None and outcome.fault.unsettled:
                    self._unsettled.append((item, outcome))
                else:
                    self._keep(item, outcome, sink)
                self._keep_settled(sink)
                await self._housekeeping(on_progress)
        except Exception as error:
            self.stop(error)

    def _keep_settled(self, sink: Sink[Item, Result], *, every: bool = False) -> None:
        """Keep the outcomes whose refusal is settled, and with `every` also the others, which the next run asks again."""
        if not self._unsettled:
            return
        waiting, self._unsettled = self._unsettled, []
        for item, outcome in waiting:
            if every or outcome.fault is None or not outcome.fault.unsettled:
                self._keep(item, outcome, sink)
            else:
                self._unsettled.append((item, outcome))

    def _keep(self, item: Item, outcome: Outcome[Result], sink: Sink[Item, Result]) -> None:
        self.done += 1
        self._without_reply_in_a_row = self._without_reply_in_a_row + 1 if outcome.retry else 0
        if outcome.retry:
            self.without_reply.append(self.task.id(item))
        sink.add(item, outcome)
        limit = max(_MAX_WITHOUT_REPLY, 2 * self.client.rate_limiter.limits.concurrency)
        if self._without_reply_in_a_row >= limit and not self.client.offline:
            reason = outcome.fault.reason if outcome.fault else ""
            self.stop(Fault(FaultKind.FATAL, f"the last {limit:,} {self.items} got no reply", reason))
        if len(sink) >= _WRITE_EVERY:
            # A result counts only when its reply is on the disk.
            self.client.ledger.flush()
            sink.write()

    async def _housekeeping(self, on_progress: Callable[[], None] | None) -> None:
        """Let other tasks run, flush the ledger and report progress, each from time to time."""
        if self.done % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        now = time.monotonic()
        if now - self._flushed_at > _FLUSH_SECONDS:
            self._flushed_at = now
            await asyncio.to_thread(self.client.ledger.flush)
        if on_progress is not None and now - self._progress_at > _PROGRESS_SECONDS:
            self._progress_at = now
            on_progress()

    def _raise_stop(self) -> None:
        if self.stopped is not None:
            raise self.stopped

    @contextlib.contextmanager
    def _interruptible(self, tasks: Sequence[asyncio.Task[Any]]) -> Iterator[None]:
        """Handle Control-C and SIGTERM: the first stops sending and waits for requests in flight, the second cancels them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(cause: BaseException) -> None:
            if not self.is_stopped():
                self.stop(cause)
            else:
                for task in tasks:
                    task.cancel()

        loop = asyncio.get_running_loop()
        causes = {signal.SIGINT: KeyboardInterrupt(), signal.SIGTERM: Terminated()}
        before = {number: signal.getsignal(number) for number in causes}
        with contextlib.suppress(NotImplementedError):
            for number, cause in causes.items():
                loop.add_signal_handler(number, interrupt, cause)
        try:
            yield
        finally:
            with contextlib.suppress(NotImplementedError):
                for number in causes:
                    loop.remove_signal_handler(number)
                    # asyncio restores Python's default, not the handler from before.
                    signal.signal(number, before[number] or signal.SIG_DFL)
