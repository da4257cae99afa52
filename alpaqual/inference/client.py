"""One model, many requests: each is answered by the ledger or by the model, and paid for once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

from alpaqual.contracts import Ledger, Model
from alpaqual.errors import BudgetReached, Fault, FaultKind
from alpaqual.inference.budget import Budget
from alpaqual.inference.pace import Pace, backoff
from alpaqual.values import Reply, Request, whole

ATTEMPTS = 5
"""How often a request is sent at most, where faults are its own: one row may not hold up all others for ever."""
_THROTTLED_ATTEMPTS = 50
_PATIENT = 2
"""Attempts that a timeout counts as: it has taken long enough."""
_LOOK_EVERY = 1.0
TIMEOUT = "timeout"
"""Reason of a request that got nothing in time."""
_LOOK_AT_OTHERS = 0.05
_OTHERS = 300.0
"""Seconds that another process may take for a reply before it is asked for twice."""
_REFUSED_AT_START = 5
"""So many refused requests and not one answered: the settings are wrong, not the rows."""


@dataclass
class Usage:
    """What asking came to, over all requests. Money is in US dollars; `bought` is what reused replies cost when they were new."""

    made: int = 0
    reused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    bought: float = 0.0
    faults: int = 0


class InferenceClient:
    """Answers requests from the ledger where it can, else from the model; `offline` forbids the model.

    Requests that are the same go out once, however many ask at the same time.
    """

    def __init__(self, model: Model, ledger: Ledger, pace: Pace, budget: Budget, *, offline: bool = False) -> None:
        self.model = model
        self.ledger = ledger
        self.pace = pace
        self.budget = budget
        self.offline = offline
        self.faults: dict[str, Fault] | None = None
        """What became of requests that went out in batches, by key; where it is there, nothing else is sent."""
        self.fresh: set[str] = set()
        """Keys of replies that came in batches of this run, until a row has asked for them."""
        self.tally = Usage()
        self.models: dict[str, None] = {}
        self.refused = 0
        self.looking = asyncio.Lock()
        self.looked = -_LOOK_EVERY
        self.there = True
        self.flying: dict[str, asyncio.Future[Reply]] = {}

    def known(self, key: str) -> Reply | None:
        """The reply that the ledger has."""
        reply = self.ledger.get(key)
        if reply is not None and key in self.fresh:
            # It came in a batch of this run, and was counted then.
            self.fresh.discard(key)
            self.models[reply.model] = None
        elif reply is not None:
            self.reuse(reply)
            if self.ledger.is_news(key):
                self.budget.used(reply.cost_usd or 0.0)
        return reply

    def reuse(self, reply: Reply) -> Reply:
        """Take a reply that is not paid for now into the tally."""
        self.count(reply)
        self.tally.reused += 1
        self.tally.bought += reply.cost_usd or 0.0
        return reply

    async def ask(self, request: Request) -> Reply:
        """The reply of the ledger or of the model.

        Raises Fault where there is none, BudgetReached where asking might cost too much.
        """
        key = self.ledger.key(request)
        same = self.flying.get(key)
        if same is not None:
            return self.reuse(await asyncio.shield(same))
        reply_known = self.known(key)
        if reply_known is not None:
            return reply_known
        if self.faults is not None:
            raise self.faults.get(key) or Fault(FaultKind.TRANSIENT, "not answered in the batch")
        if self.offline:
            raise Fault(FaultKind.TRANSIENT, "not in the ledger, and offline")
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.flying[key] = answer
        try:
            reply = await self.elsewhere(key) or await self.send(request, key)
            answer.set_result(reply)
            return reply
        except (Fault, BudgetReached) as error:
            answer.set_exception(error)
            answer.exception()  # whoever waits for it is told; nobody has to
            raise
        finally:
            self.ledger.release(key)
            answer.cancel()
            del self.flying[key]

    async def elsewhere(self, key: str) -> Reply | None:
        """The reply that another process has got meanwhile, waited for while it asks; None where this one is to ask."""
        ends = time.monotonic() + _OTHERS
        while not self.ledger.claim(key):
            # One that was stopped, or hangs, keeps its claims.
            if self.pace.closed.is_set() or time.monotonic() > ends:
                return None
            await self.pace.rest(_LOOK_AT_OTHERS)
        return self.known(key)

    async def send(self, request: Request, key: str) -> Reply:
        """Ask the model until it answers or will not.

        Raises Fault, BudgetReached.
        """
        attempt = throttled = 0
        while True:
            try:
                return await self.once(request, key)
            except Fault as fault:
                self.tally.faults += 1
                self.judge(fault)
                if self.pace.closed.is_set():
                    raise
                self.pace.failed(fault)
                if fault.kind is FaultKind.THROTTLED:
                    throttled += 1
                elif self.pace.suspicious and not await self.alive():
                    # Where nobody gets an answer, it is not this request's fault.
                    self.pace.down(fault)
                else:
                    attempt += _PATIENT if fault.reason == TIMEOUT else 1
                if attempt >= ATTEMPTS or throttled >= _THROTTLED_ATTEMPTS:
                    raise Fault(
                        FaultKind.TRANSIENT, fault.reason, f"{fault.detail} ({attempt or throttled} attempts)"
                    ) from None
            if attempt:
                await self.pace.rest(backoff(attempt))

    async def alive(self) -> bool:
        """Whether the server is there; asked once a second at most, by one for all."""
        async with self.looking:
            now = time.monotonic()
            if now - self.looked > _LOOK_EVERY:
                self.there = await self.model.alive()
                self.looked = time.monotonic()
                if self.there:
                    self.pace.there()
        return self.there

    async def once(self, request: Request, key: str) -> Reply:
        """Send a request once; its reply is in the ledger before anybody sees it."""
        await self.pace.enter(self.budget.tokens.expected(request))
        try:
            promised = await self.budget.promise(request)
            reply = None
            try:
                self.pace.check_open()
                reply = clean(await self.model.complete(request))
            finally:
                cost = self.budget.settle(promised, request, reply)
        except Fault as fault:
            if fault.kind is FaultKind.FATAL:
                # Before anybody else takes this one's turn.
                self.pace.close()
            raise
        finally:
            self.pace.leave()
        self.pace.succeeded()
        return self.keep(request, key, replace(reply, cost_usd=cost))

    def keep(self, request: Request, key: str, reply: Reply) -> Reply:
        """Write a reply that was paid for into the ledger."""
        self.ledger.add(key, reply, request.model)
        self.tally.made += 1
        self.tally.cost += reply.cost_usd or 0.0
        self.count(reply)
        return reply

    def count(self, reply: Reply) -> None:
        """Take a reply into the tally."""
        self.tally.input_tokens += reply.input_tokens or 0
        self.tally.output_tokens += reply.output_tokens or 0
        self.models[reply.model] = None

    def judge(self, fault: Fault) -> None:
        """Pass over what may be gone when asked again.

        Raises Fault for what will not: it ends its row, or everything.
        """
        if fault.kind in (FaultKind.THROTTLED, FaultKind.TRANSIENT):
            return
        if fault.kind is FaultKind.REFUSED and not self.pace.answered:
            self.refused += 1
            if self.refused >= _REFUSED_AT_START:
                raise Fault(FaultKind.FATAL, fault.reason, f"{fault.detail} (the first {self.refused} requests)")
        raise fault


def clean(reply: Reply) -> Reply:
    """A reply that a file can hold, whose model's id is one line."""
    return replace(reply, text=whole(reply.text), model=" ".join(whole(reply.model).split()))
