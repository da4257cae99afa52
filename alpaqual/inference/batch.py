"""Requests that go out in batches: half the price, answered within a day, by a provider that goes on when this process ends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from alpaqual.contracts import BatchModel, BatchState, Ledger
from alpaqual.disk import flush
from alpaqual.errors import Fault, FaultKind, StageError
from alpaqual.inference.budget import Budget
from alpaqual.inference.client import Usage, clean
from alpaqual.inference.pace import backoff
from alpaqual.llm._faults import keys_digest
from alpaqual.values import Reply, Request

Done = TypeVar("Done")
_MOST_REQUESTS = 10_000
_MOST_BYTES = 32_000_000
"""Of one batch's requests in JSON: they are in memory until they are answered. Both providers allow more."""
_BATCHES = 8
"""Batches under way at once."""
_LOST = 5
_REFUSED = 5
_NOBODY = Request("", ())
_AGAIN = (FaultKind.TRANSIENT, FaultKind.THROTTLED)


@dataclass(frozen=True)
class Waits:
    """Seconds: between two polls; until a provider's list surely has a batch that it was just sent; and how long it may answer
    nothing but faults."""

    poll: float = 60.0
    listed: float = 10.0
    patience: float = 3600.0


@dataclass(eq=False)
class Sent:
    """A batch that is about to be sent (`batch` is None) or was, and the requests in it that this process has seen.

    `promised` is in US dollars, `time` a Unix time. `promises` has what is still promised: by key, or in one sum ("") for a batch of
    an earlier process.
    """

    label: str
    model: str
    keys: list[str]
    promised: float
    time: float
    batch: str | None = None
    requests: dict[str, Request] = field(default_factory=dict)
    promises: dict[str, float] = field(default_factory=dict)
    state: BatchState | None = None


class Batches:
    """Answers requests through batches; one of these at a time may use a folder.

    Before a batch is sent a state file says so, and after its last reply is in the ledger the file goes. So a process that is
    killed at any moment finds all batches again: those with an id by that, one that was just being sent by its label.
    Nothing that may be with the provider is sent again.

    Of a model's faults a `poll` or `results` of the kind REQUEST means that the batch is lost and its requests may be sent
    again, one of the kind REFUSED that it failed as a whole.
    """

    def __init__(
        self, model: BatchModel, ledger: Ledger, budget: Budget, folder: Path, waits: Waits | None = None
    ) -> None:
        """`budget` has the discounted price; `folder` is for the state files."""
        self.model = model
        self.ledger = ledger
        self.budget = budget
        self.folder = folder
        self.waits = waits or Waits()
        self.tally = Usage()
        self.kept: set[str] = set()
        """Keys of the replies that came in."""
        self.models: dict[str, None] = {}
        self.faults: dict[str, Fault] = {}
        self.running: dict[str, Sent] = {}
        self.flying: dict[str, Sent] = {}
        self.again: deque[Request] = deque()
        self.source: Iterator[Request] = iter(())
        self.at_once = _BATCHES
        self.size = min(model.BATCH_REQUESTS, _MOST_REQUESTS)
        self.lost_in_a_row = 0

    @property
    def standing(self) -> BatchState:
        """How many requests of the batches under way are answered."""
        states = [sent.state for sent in self.running.values() if sent.state is not None]
        total = sum(len(sent.keys) for sent in self.running.values())
        return BatchState(not self.running, sum(state.done for state in states), total)

    async def answer(self, requests: Iterable[Request]) -> Mapping[str, Fault]:
        """Bring the reply to every request into the ledger; returns a fault by the key of each that got none.

        Batches of an earlier process are waited for, too. Raises Fault, FATAL, where asking has to end; BudgetReached where nothing
        more can be sent and all that was sent is answered; StageError where the folder cannot be written. Cancelled, it leaves
        the batches running and their state files in place.
        """
        self.forget()
        self.source = iter(requests)
        first = next(self.source, None)
        if first is None:
            return {}
        self.again.append(first)
        await self.resume(first.model)
        while True:
            await self.fill()
            if not self.running:
                return self.faults
            await asyncio.sleep(self.waits.poll)
            for sent in list(self.running.values()):
                await self.check(sent)

    def forget(self) -> None:
        """Start from the state files alone, as a new process does."""
        for sent in self.running.values():
            self.free(sent)
        self.running, self.flying, self.faults = {}, {}, {}
        self.again.clear()

    async def resume(self, model: str) -> None:
        """Take up the batches that the folder knows of. Raises Fault."""
        for sent in read_states(self.folder, model):
            if all(self.ledger.get(key) is not None for key in sent.keys):
                _state(self.folder, sent).unlink(missing_ok=True)
                continue
            self.take(sent)
            sent.promises[""] = sent.promised
            for limit in self.budget.limits:
                limit.promised += sent.promised
                limit.promises += 1
        # Those with an id first: a batch that is known to be one of them is not taken for the one that is looked for.
        for sent in sorted(self.running.values(), key=lambda sent: sent.batch is None):
            if sent.batch is None:
                sent.batch = await self.look(sent)
                if sent.batch is None:
                    self.release(sent)
                    continue
                write_state(self.folder, sent)
            await self.check(sent)

    async def fill(self) -> None:
        """Send batches while there are requests, money, and room for one more. Raises Fault, BudgetReached."""
        while len(self.running) < self.at_once:
            requests, promises = await self.chunk()
            if not requests:
                return
            keys, now = list(requests), time.time()
            label = f"alpaqual.{uuid.uuid4().hex[:12]}.{int(now)}.{len(keys)}.{keys_digest(keys)[:16]}"
            model = next(iter(requests.values())).model
            sent = Sent(label, model, keys, sum(promises.values()), now, requests=requests, promises=promises)
            write_state(self.folder, sent)
            self.take(sent)
            await self.submit(sent)

    async def chunk(self) -> tuple[dict[str, Request], dict[str, float]]:
        """The next batch's requests, and the US dollars promised to each, by key. Raises BudgetReached."""
        requests: dict[str, Request] = {}
        promises: dict[str, float] = {}
        size = 0
        # Not always the same number: where a provider keeps no label, the number tells batches apart.
        most = self.size - random.randrange(self.size // 8 + 1)
        while len(requests) < most and (found := self.following()) is not None:
            key, request = found
            if key in requests:
                continue
            size += size_of(request)
            money = None if requests and size > _MOST_BYTES else await self.promise(request, alone=not requests)
            if money is None:
                self.again.appendleft(request)
                break
            promises[key] = money
            requests[key] = request
        return requests, promises

    async def promise(self, request: Request, *, alone: bool) -> float | None:
        """US dollars for one more request; None where there are none but some may come back.

        Raises BudgetReached where nothing is under way that could give some back.
        """
        if self.budget.short(self.budget.most(request)) is not None and (self.running or not alone):
            return None
        return await self.budget.promise(request)

    def following(self) -> tuple[str, Request] | None:
        """The next request, with its key, that has to be sent."""
        while True:
            request = self.again.popleft() if self.again else next(self.source, None)
            if request is None:
                return None
            key = self.ledger.key(request)
            if key in self.flying:
                self.flying[key].requests[key] = request
            elif key not in self.faults and self.ledger.get(key) is None:
                return key, request

    async def submit(self, sent: Sent) -> None:
        """Send a batch, once. Raises Fault, FATAL, where the provider does not take it."""
        began, attempt = _now(), 0
        while sent.batch is None:
            try:
                sent.batch = await self.model.submit(sent.label, list(sent.requests.items()))
            except Fault as fault:
                if fault.kind not in _AGAIN:
                    self.release(sent)
                    raise Fault(FaultKind.FATAL, fault.reason, fault.detail) from None
                attempt += 1
                await self.rest(fault, attempt, began)
                if fault.kind is FaultKind.TRANSIENT:
                    # It may have arrived, and only the answer was lost.
                    sent.batch = await self.look(sent)
        write_state(self.folder, sent)

    async def look(self, sent: Sent) -> str | None:
        """The id of a batch that may have been sent; None where the provider has not got it. Raises Fault."""
        found = await self.calm(lambda: self.model.find(sent.label))
        if found is None:
            await asyncio.sleep(self.waits.listed)
            found = await self.calm(lambda: self.model.find(sent.label))
        return found

    async def check(self, sent: Sent) -> None:
        """Look how a batch stands, and fetch what an ended one has. Raises Fault, FATAL."""
        batch = str(sent.batch)
        try:
            sent.state = await self.calm(lambda: self.model.poll(batch))
            if sent.state.ended:
                await self.calm(lambda: self.collect(sent, batch))
                self.finish(sent)
        except Fault as fault:
            if fault.kind is FaultKind.REQUEST:
                await self.lost(sent, fault)
                return
            if fault.kind is FaultKind.REFUSED:
                self.release(sent)
            raise Fault(FaultKind.FATAL, fault.reason, fault.detail) from None

    async def collect(self, sent: Sent, batch: str) -> None:
        """Bring the results of an ended batch into the ledger. Raises Fault, REQUEST where they are another batch's."""
        missing, found, strange = set(sent.keys), False, False
        async for key, outcome in self.model.results(batch):
            if key not in missing:
                strange = True
                continue
            found = True
            missing.discard(key)
            if isinstance(outcome, Fault):
                self.faults[key] = outcome
            elif self.ledger.get(key) is None:
                self.keep(sent, key, outcome)
        if strange and not found:
            raise Fault(FaultKind.REQUEST, "another's batch", batch)
        for key in missing:
            self.faults[key] = Fault(FaultKind.TRANSIENT, "left out of the batch")

    def keep(self, sent: Sent, key: str, reply: Reply) -> None:
        """Write a reply that was paid for into the ledger."""
        reply = clean(reply)
        self.kept.add(key)
        promised = sent.promises.pop(key, None)
        if promised is not None:
            cost = self.budget.settle(promised, sent.requests[key], reply)
        else:
            # What a batch of an earlier process was promised is given back when all of it is in.
            cost = self.budget.price.of(reply.input_tokens or 0, reply.output_tokens or 0)
            for limit in self.budget.limits:
                limit.spent += cost
        self.ledger.add(key, replace(reply, cost_usd=cost), sent.model)
        self.tally.made += 1
        self.tally.cost += cost
        self.tally.input_tokens += reply.input_tokens or 0
        self.tally.output_tokens += reply.output_tokens or 0
        self.models[reply.model] = None

    def finish(self, sent: Sent) -> None:
        """Let go of a batch whose results are in. Raises Fault, FATAL, where they say that asking for more is in vain."""
        self.ledger.flush()
        self.release(sent)
        self.lost_in_a_row = 0
        faults = [self.faults[key] for key in sent.keys if key in self.faults]
        self.tally.faults += len(faults)
        fatal = next((fault for fault in faults if fault.kind is FaultKind.FATAL), None)
        refused = [fault for fault in faults if fault.kind is FaultKind.REFUSED]
        if fatal is None and len(refused) == len(sent.keys) >= _REFUSED:
            fatal = refused[0]
        if fatal is not None:
            raise Fault(FaultKind.FATAL, fatal.reason, fatal.detail)

    async def lost(self, sent: Sent, fault: Fault) -> None:
        """Send the requests of a batch again that the provider does not have, or had no room for.

        Raises Fault, FATAL, where that was in vain several times.
        """
        found = await self.look(sent)
        if found not in (None, sent.batch):
            sent.batch = found
            write_state(self.folder, sent)
            return
        self.release(sent)
        self.again.extend(sent.requests.values())
        self.lost_in_a_row += 1
        if self.lost_in_a_row > _LOST:
            raise Fault(FaultKind.FATAL, fault.reason, fault.detail)
        if self.running:
            self.at_once = len(self.running)
        else:
            self.size = max(1, self.size // 2)

    def take(self, sent: Sent) -> None:
        """Count a batch as under way."""
        self.running[sent.label] = sent
        self.flying.update(dict.fromkeys(sent.keys, sent))

    def release(self, sent: Sent) -> None:
        """Let go of a batch, of its state file last, and of the money promised to it."""
        self.running.pop(sent.label)
        for key in sent.keys:
            self.flying.pop(key, None)
        self.free(sent)
        _state(self.folder, sent).unlink(missing_ok=True)

    def free(self, sent: Sent) -> None:
        """Give back what is still promised."""
        for promised in sent.promises.values():
            self.budget.settle(promised, _NOBODY, None)
        sent.promises.clear()

    async def calm(self, call: Callable[[], Awaitable[Done]]) -> Done:
        """What a call gives, repeated while its faults may pass. Raises Fault."""
        began, attempt = _now(), 0
        while True:
            try:
                return await call()
            except Fault as fault:
                if fault.kind not in _AGAIN:
                    raise
                attempt += 1
                await self.rest(fault, attempt, began)

    async def rest(self, fault: Fault, attempt: int, began: float) -> None:
        """Wait before trying again. Raises Fault, FATAL, once that has lasted longer than patience."""
        quiet = _now() - began
        if quiet > self.waits.patience:
            raise Fault(FaultKind.FATAL, f"no answer for {quiet:.0f} s", f"the last fault was: {fault}")
        await asyncio.sleep(max(fault.retry_after or 0.0, backoff(min(attempt, 10))))


def size_of(request: Request) -> int:
    """About the bytes that a request takes in a batch, rather too many than too few."""
    content = json.dumps([request.messages, dict(request.parameters)], ensure_ascii=False)
    return len(content.encode("utf-8", "replace")) + 32 * len(request.messages) + 300


def read_states(folder: Path, model: str) -> list[Sent]:
    """The batches of a model that may be under way, the oldest first.

    Raises StageError where a state file cannot be read.
    """
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            sent = Sent(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise StageError(
                f"{file} cannot be read; it says which batch is under way, and without it replies are paid for twice"
            ) from None
        if sent.model == model:
            found.append(sent)
    return sorted(found, key=lambda sent: sent.time)


def write_state(folder: Path, sent: Sent) -> None:
    """Write a batch's state file, whole or not at all.

    Raises StageError where that fails.
    """
    fields = ("label", "model", "keys", "promised", "time", "batch")
    content = json.dumps({name: getattr(sent, name) for name in fields})
    file, new = _state(folder, sent), folder / f".{sent.label}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
        flush(folder)
    except OSError as error:
        raise StageError(f"{file} cannot be written: {error.strerror}; no batch is sent without it") from None


def _state(folder: Path, sent: Sent) -> Path:
    return folder / f"{sent.label}.json"


def _now() -> float:
    return asyncio.get_running_loop().time()
