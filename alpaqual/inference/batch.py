"""Requests through a provider's batch API: half the price, within a day; batches continue when this process ends."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from alpaqual.contracts import BatchModel, BatchState, Ledger, RefusedRequests
from alpaqual.errors import Fault, FaultKind
from alpaqual.inference.batch_state import Batch, delete_batch, read_batches, write_batch
from alpaqual.inference.budget import Budget
from alpaqual.inference.client import Usage, clean
from alpaqual.inference.rate_limiter import backoff, raise_beyond
from alpaqual.inference.refusals import Refusals
from alpaqual.llm._faults import keys_digest
from alpaqual.values import Reply, Request

Result = TypeVar("Result")
_MAX_REQUESTS = 10_000
_MAX_BYTES = 32_000_000
"""JSON of one batch's requests, which stay in memory until they are answered. Both providers allow more."""
_MAX_RUNNING = 8
_MAX_LOST_IN_A_ROW = 5
_RETRIED = (FaultKind.TRANSIENT, FaultKind.THROTTLED)


@dataclass(frozen=True)
class BatchTiming:
    """Seconds: between two polls; until the provider's list shows a new batch; of nothing but faults before giving up."""

    poll: float = 60.0
    listing_delay: float = 10.0
    patience: float = 3600.0


class BatchClient:
    """Sends requests in batches; one client at a time may use a folder.

    A state file is written before a batch is submitted, and deleted after its last reply is in the ledger. A process that is
    killed at any moment therefore finds all batches again: by their id, or, where the submission was interrupted, by their
    label. No request that the provider may have is sent again.

    From `poll` and `results` of a model, a fault of the kind REQUEST means that the batch is lost and its requests may be
    sent again; REFUSED means that the whole batch failed.
    """

    def __init__(
        self,
        model: BatchModel,
        ledger: Ledger,
        budget: Budget,
        folder: Path,
        timing: BatchTiming | None = None,
        refused: RefusedRequests | None = None,
    ) -> None:
        """`budget` has the discounted price; `folder` is for the state files; `refused` takes requests refused for good."""
        self.model = model
        self.ledger = ledger
        self.budget = budget
        self.folder = folder
        self.timing = timing or BatchTiming()
        self.refused = refused
        self.refusals = Refusals()
        self.usage = Usage()
        self.received: set[str] = set()
        """Keys of the replies that batches brought."""
        self.models: dict[str, None] = {}
        """Ids of the models that answered, in order of their first reply."""
        self.faults: dict[str, Fault] = {}
        self.running: dict[str, Batch] = {}
        self._batch_of: dict[str, Batch] = {}
        self._unsent: deque[Request] = deque()
        self._source: Iterator[Request] = iter(())
        self._max_running = _MAX_RUNNING
        self._max_requests = min(model.BATCH_REQUESTS, _MAX_REQUESTS)
        self._lost_in_a_row = 0

    @property
    def progress(self) -> BatchState:
        """How many requests of the running batches are answered."""
        states = [batch.state for batch in self.running.values() if batch.state is not None]
        total = sum(len(batch.keys) for batch in self.running.values())
        return BatchState(not self.running, sum(state.done for state in states), total)

    async def send(self, requests: Iterable[Request]) -> Mapping[str, Fault]:
        """Bring the reply to every request into the ledger; returns a fault for each request without one, by key.

        Also waits for batches of an earlier process. Raises Fault, FATAL, where the run has to stop; BudgetReached where the
        next batch might exceed a limit and all running batches are answered; StageError where the folder cannot be
        written. When cancelled, it leaves the batches running and their state files in place.
        """
        self._reset()
        self._source = iter(requests)
        first = next(self._source, None)
        if first is None:
            return {}
        self._unsent.append(first)
        await self._resume(first.model)
        while True:
            await self._submit_batches()
            if not self.running:
                return self.faults
            await asyncio.sleep(self.timing.poll)
            for batch in list(self.running.values()):
                await self._update(batch)

    def _reset(self) -> None:
        """Forget all but the state files, as a new process would."""
        for batch in self.running.values():
            self._cancel_reservations(batch)
        self.running, self._batch_of, self.faults = {}, {}, {}
        self._unsent.clear()

    async def _resume(self, model: str) -> None:
        """Add the batches of the folder to the running ones. Raises Fault."""
        for batch in read_batches(self.folder, model):
            if all(self.ledger.get(key) is not None for key in batch.keys):
                delete_batch(self.folder, batch)
                continue
            self._add(batch)
            batch.reservations[""] = batch.reserved
            self.budget.add_reservation(batch.reserved)
        # Those with an id first: they are then not mistaken for one that is looked up by its label.
        for batch in sorted(self.running.values(), key=lambda batch: batch.id is None):
            if batch.id is None:
                batch.id = await self._find(batch)
                if batch.id is None:
                    self._remove(batch)
                    continue
                write_batch(self.folder, batch)
            await self._update(batch)

    async def _submit_batches(self) -> None:
        """Submit batches while requests, budget and the limit of running batches allow. Raises Fault, BudgetReached."""
        while len(self.running) < self._max_running:
            requests, reservations = await self._next_requests()
            if not requests:
                return
            keys, now = list(requests), time.time()
            label = f"alpaqual.{uuid.uuid4().hex[:12]}.{int(now)}.{len(keys)}.{keys_digest(keys)[:16]}"
            model, reserved = next(iter(requests.values())).model, sum(reservations.values())
            batch = Batch(label, model, keys, reserved, now, requests=requests, reservations=reservations)
            write_batch(self.folder, batch)
            self._add(batch)
            await self._submit(batch)

    async def _next_requests(self) -> tuple[dict[str, Request], dict[str, float]]:
        """The next batch's requests and the US dollars reserved for each, by key. Raises BudgetReached."""
        requests: dict[str, Request] = {}
        reservations: dict[str, float] = {}
        size = 0
        # The number varies: with a provider that keeps no label, it helps to tell batches apart.
        limit = self._max_requests - random.randrange(self._max_requests // 8 + 1)
        while len(requests) < limit and (found := self._next_unsent()) is not None:
            key, request = found
            if key in requests:
                continue
            size += json_bytes(request)
            full = requests and size > _MAX_BYTES
            reserved = None if full else await self._reserve(request, first=not requests)
            if reserved is None:
                self._unsent.appendleft(request)
                break
            reservations[key] = reserved
            requests[key] = request
        return requests, reservations

    async def _reserve(self, request: Request, *, first: bool) -> float | None:
        """Reserve US dollars for one more request; None where a running batch may still free some.

        Raises BudgetReached where no batch is running that could.
        """
        if (not self.running and first) or not self.budget.limited:
            return await self.budget.reserve(request)
        usd = self.budget.max_cost(request)
        return usd if await self.budget.exceeded(usd) is None else None

    def _next_unsent(self) -> tuple[str, Request] | None:
        """The next request, with its key, that no running batch and no ledger entry has."""
        while True:
            request = self._unsent.popleft() if self._unsent else next(self._source, None)
            if request is None:
                return None
            key = self.ledger.key(request)
            if key in self._batch_of:
                self._batch_of[key].requests[key] = request
            elif key not in self.faults and self.ledger.get(key) is None:
                return key, request

    async def _submit(self, batch: Batch) -> None:
        """Submit a batch, once. Raises Fault, FATAL, where the provider does not accept it."""
        started, attempt = _now(), 0
        while batch.id is None:
            try:
                batch.id = await self.model.submit(batch.label, list(batch.requests.items()))
            except Fault as fault:
                if fault.kind not in _RETRIED:
                    self._remove(batch)
                    raise Fault(FaultKind.FATAL, fault.reason, fault.detail) from None
                attempt += 1
                await self._wait_before_retry(fault, attempt, started)
                if fault.kind is FaultKind.TRANSIENT:
                    # The provider may have received it, and only its response was lost.
                    batch.id = await self._find(batch)
        write_batch(self.folder, batch)

    async def _find(self, batch: Batch) -> str | None:
        """The id of a batch whose submission was interrupted; None where the provider has not got it. Raises Fault."""
        found = await self._with_retries(lambda: self.model.find(batch.label))
        if found is None:
            await asyncio.sleep(self.timing.listing_delay)
            found = await self._with_retries(lambda: self.model.find(batch.label))
        return found

    async def _update(self, batch: Batch) -> None:
        """Poll a batch, and fetch its results where it has ended. Raises Fault, FATAL."""
        batch_id = str(batch.id)
        try:
            batch.state = await self._with_retries(lambda: self.model.poll(batch_id))
            if batch.state.ended:
                await self._with_retries(lambda: self._fetch_results(batch, batch_id))
                self._finish(batch)
        except Fault as fault:
            if fault.kind is FaultKind.REQUEST:
                await self._resend_lost(batch, fault)
                return
            if fault.kind is FaultKind.REFUSED:
                self._remove(batch)
            raise Fault(FaultKind.FATAL, fault.reason, fault.detail) from None

    async def _fetch_results(self, batch: Batch, batch_id: str) -> None:
        """Bring the results of an ended batch into the ledger. Raises Fault, REQUEST, where they are of another batch."""
        missing, has_own, has_foreign = set(batch.keys), False, False
        async for key, outcome in self.model.results(batch_id):
            if key not in missing:
                has_foreign = True
                continue
            has_own = True
            missing.discard(key)
            if isinstance(outcome, Fault):
                self._keep_fault(batch, key, outcome)
            elif self.ledger.get(key) is None:
                self._keep(batch, key, outcome)
        if has_foreign and not has_own:
            raise Fault(FaultKind.REQUEST, "results of another batch", batch_id)
        for key in missing:
            self.faults[key] = Fault(FaultKind.TRANSIENT, "left out of the batch")

    def _keep(self, batch: Batch, key: str, reply: Reply) -> None:
        """Write a paid reply into the ledger."""
        reply = clean(reply)
        self.received.add(key)
        reserved = batch.reservations.pop(key, None)
        if reserved is not None:
            cost = self.budget.settle(reserved, batch.requests[key], reply)
        else:
            # The reservation of an earlier process's batch is released when all its results are in.
            cost = self.budget.price.of(reply.input_tokens or 0, reply.output_tokens or 0, reply.cache)
            for limit in self.budget.limits:
                limit.add_spent(cost)
        reply = replace(reply, cost_usd=cost if self.budget.price.known else None)
        self.ledger.add(key, reply, batch.model)
        self.usage.add_call(reply)
        self.models[reply.model] = None

    def _keep_fault(self, batch: Batch, key: str, fault: Fault) -> None:
        """Keep a fault, and count it where the provider billed it."""
        self.faults[key] = fault
        request = batch.requests.get(key) if fault.usage or fault.lost else None
        if request is not None and (reserved := batch.reservations.pop(key, None)) is not None:
            self.usage.cost_usd += self.budget.settle_fault(reserved, request, fault)

    def _finish(self, batch: Batch) -> None:
        """Remove a batch whose results are in. Raises Fault, FATAL, where they show that more requests would fail too."""
        self.ledger.flush()
        self._remove(batch)
        self._lost_in_a_row = 0
        faults = [self.faults[key] for key in batch.keys if key in self.faults]
        self.usage.faults += len(faults)
        fatal = next((fault for fault in faults if fault.kind is FaultKind.FATAL), None)
        if fatal is not None:
            raise fatal
        self._judge(batch)
        for key in batch.keys:
            fault = self.faults.get(key)
            if self.refused is not None and fault is not None and fault.kind is FaultKind.REQUEST:
                self.refused.add(key, batch.model, fault)

    def _judge(self, batch: Batch) -> None:
        """Settle the refusals of a batch that has replies. Raises Fault, FATAL, where they concern every request.

        Requests count in the order in which they were sent: a provider's results are in any order.
        """
        for key in batch.keys:
            number, fault = self.refusals.count_sent(), self.faults.get(key)
            if fault is None:
                self._settle(number)
            elif fault.unsettled:
                self.refusals.add(number, key, batch.model, fault)
        if any(key not in self.faults for key in batch.keys):
            self._settle(self.refusals.sent + 1)

    def _settle(self, number: int) -> None:
        for refusal in self.refusals.settle(number):
            refusal.fault.settle()

    async def _resend_lost(self, batch: Batch, fault: Fault) -> None:
        """Queue the requests of a batch that the provider lost or could not take.

        Raises Fault, FATAL, after several lost batches in a row.
        """
        found = await self._find(batch)
        if found not in (None, batch.id):
            batch.id = found
            write_batch(self.folder, batch)
            return
        self._remove(batch)
        self._unsent.extend(batch.requests.values())
        self._lost_in_a_row += 1
        if self._lost_in_a_row > _MAX_LOST_IN_A_ROW:
            raise Fault(FaultKind.FATAL, fault.reason, fault.detail)
        if self.running:
            self._max_running = len(self.running)
        else:
            self._max_requests = max(1, self._max_requests // 2)

    def _add(self, batch: Batch) -> None:
        self.running[batch.label] = batch
        self._batch_of.update(dict.fromkeys(batch.keys, batch))

    def _remove(self, batch: Batch) -> None:
        """Drop a batch, its reservations and, last, its state file."""
        self.running.pop(batch.label)
        for key in batch.keys:
            self._batch_of.pop(key, None)
        self._cancel_reservations(batch)
        delete_batch(self.folder, batch)

    def _cancel_reservations(self, batch: Batch) -> None:
        for reserved in batch.reservations.values():
            self.budget.cancel(reserved)
        batch.reservations.clear()

    async def _with_retries(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a call, retried after transient faults and rate limits. Raises Fault."""
        started, attempt = _now(), 0
        while True:
            try:
                return await call()
            except Fault as fault:
                if fault.kind not in _RETRIED:
                    raise
                attempt += 1
                await self._wait_before_retry(fault, attempt, started)

    async def _wait_before_retry(self, fault: Fault, attempt: int, started: float) -> None:
        """Sleep before a retry. Raises Fault, FATAL, after more than `patience` of nothing but faults, or where it is asked for."""
        raise_beyond(fault, self.timing.patience)
        failing = _now() - started
        if failing > self.timing.patience:
            raise Fault(FaultKind.FATAL, f"no answer for {failing:.0f} s", f"the last fault was: {fault}")
        await asyncio.sleep(max(fault.retry_after or 0.0, backoff(min(attempt, 10))))


def json_bytes(request: Request) -> int:
    """Estimated bytes of a request in a batch; errs on the high side."""
    content = json.dumps([request.messages, dict(request.parameters)], ensure_ascii=False)
    return len(content.encode("utf-8", "replace")) + 32 * len(request.messages) + 300


def _now() -> float:
    return asyncio.get_running_loop().time()
