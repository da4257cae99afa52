"""Sends many requests to one model: the ledger or the model answers each, and each is paid for once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from alpaqual.contracts import Ledger, Model, RefusedRequests
from alpaqual.errors import BudgetReached, Fault, FaultKind
from alpaqual.inference.budget import Budget
from alpaqual.inference.rate_limiter import RateLimiter, backoff
from alpaqual.inference.refusals import Refusal, Refusals
from alpaqual.llm._fault_lines import NO_BACKEND
from alpaqual.values import CacheTokens, Reply, Request, replace_surrogates

TIMEOUT = "timeout"
"""Reason of the fault of a request that got no reply in time."""
MAX_ATTEMPTS = 5
"""Attempts of one request whose faults are its own: one row cannot hold up the others."""
_TIMEOUT_ATTEMPTS = 2
"""A timeout counts as this many attempts, since it has taken long."""
_MAX_THROTTLED = 50
_HEALTH_CHECK_SECONDS = 1.0
_CLAIM_POLL_SECONDS = 0.05
_CLAIM_TIMEOUT_SECONDS = 300.0
"""How long another process may hold a claim before this one sends the same request."""

_CANCELLED = Fault(FaultKind.TRANSIENT, "cancelled")
_CANCELLED.lost = True


@dataclass
class Usage:
    """Calls, tokens and US dollars of a client. `original_cost_usd`: cost of reused replies when first bought."""

    calls_made: int = 0
    calls_reused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    original_cost_usd: float = 0.0
    faults: int = 0
    cache: CacheTokens = field(default_factory=CacheTokens)

    def add_tokens(self, reply: Reply) -> None:
        """Add the tokens of a reply."""
        self.input_tokens += reply.input_tokens or 0
        self.output_tokens += reply.output_tokens or 0
        if reply.cache is not None:
            self.cache += reply.cache

    def add_call(self, reply: Reply) -> None:
        """Add a reply that this run paid for."""
        self.calls_made += 1
        self.cost_usd += reply.cost_usd or 0.0
        self.add_tokens(reply)

    def add(self, other: Usage) -> None:
        """Add the calls that another client made."""
        self.calls_made += other.calls_made
        self.cost_usd += other.cost_usd
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cache += other.cache

    def add_reused(self, reply: Reply, original_cost_usd: float) -> None:
        """Add a reply that cost nothing now."""
        self.calls_reused += 1
        self.original_cost_usd += original_cost_usd
        self.add_tokens(reply)


class InferenceClient:
    """Answers requests from the ledger, else from the model; `offline` disables the model.

    Equal requests that are in flight together are sent once.
    """

    def __init__(
        self,
        model: Model,
        ledger: Ledger,
        rate_limiter: RateLimiter,
        budget: Budget,
        *,
        offline: bool = False,
        refused: RefusedRequests | None = None,
    ) -> None:
        """`refused` has the requests that were refused for good, and takes new ones; without it, they are sent again."""
        self.model = model
        self.ledger = ledger
        self.rate_limiter = rate_limiter
        self.budget = budget
        self.offline = offline
        self.refused = refused
        self.refusals = Refusals()
        self.batch_faults: dict[str, Fault] | None = None
        """Faults of requests that were sent in batches, by key. Once it is set, no request is sent one at a time."""
        self.new_from_batch: set[str] = set()
        """Keys of replies that a batch of this run brought, until they are first used; the batch client counted them."""
        self.usage = Usage()
        self.models: dict[str, None] = {}
        """Ids of the models that answered, in order of their first reply."""
        self._health_lock = asyncio.Lock()
        self._health_checked_at = -_HEALTH_CHECK_SECONDS
        self._healthy = True
        self.counted: set[str] = set()
        """Keys of the few requests that may be asked again in this run, such as golden rows in the data; each counts once."""
        self._in_flight: dict[str, asyncio.Future[Reply]] = {}

    @property
    def unsent(self) -> tuple[str, ...]:
        """Settings of requests that the model refuses and that are not sent; not every plug-in finds that out."""
        return tuple(getattr(self.model, "unsent", ()))

    async def send(self, request: Request) -> Reply:
        """Return the reply to a request, from the ledger or from the model.

        Raises Fault where there is none, BudgetReached where the request might exceed a limit, StoreError where the reply
        cannot be kept.
        """
        key = self.ledger.key(request)
        same = self._in_flight.get(key)
        if same is not None:
            return self._count_reused(request, key, await asyncio.shield(same))
        if (known := self._from_ledger(request, key)) is not None:
            return known
        if (refusal := self.refusal(key)) is not None:
            raise refusal
        if self.batch_faults is not None:
            raise self.batch_faults.get(key) or Fault(FaultKind.TRANSIENT, "not answered in the batch")
        if self.offline:
            raise Fault(FaultKind.TRANSIENT, "not in the ledger, and offline")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._in_flight[key] = future
        try:
            reply = await self._from_other_process(request, key) or await self._send_with_retries(request, key)
            future.set_result(reply)
            return reply
        except (Fault, BudgetReached) as error:
            future.set_exception(error)
            future.exception()  # Marks it as retrieved: there may be no second request that waits for it.
            raise
        finally:
            self.ledger.release(key)
            future.cancel()
            del self._in_flight[key]

    def refusal(self, key: str) -> Fault | None:
        """The fault of a request that was refused for good, in this run or an earlier one."""
        return None if self.refused is None else self.refused.get(key)

    def settle_all(self, number: int | None = None) -> None:
        """Make refusals the rows': those of requests before `number`, or (None) all."""
        for refusal in self.refusals.settle(self.refusals.sent + 1 if number is None else number):
            self._settle(refusal)

    def settle_at_end(self) -> None:
        """At the end of a run: make refusals the rows', where the model has replied before."""
        if self.refusals.answered or self.usage.calls_reused:
            for refusal in self.refusals.settle_at_end():
                self._settle(refusal)

    def _settle(self, refusal: Refusal) -> None:
        # A denied request is refused now, perhaps not tomorrow: only this run passes over it.
        final = refusal.fault.kind is FaultKind.REFUSED
        refusal.fault.settle()
        if final:
            self._remember(refusal.key, refusal.model, refusal.fault)

    def _remember(self, key: str, model: str, fault: Fault) -> None:
        if self.refused is not None:
            self.refused.add(key, model, fault)

    def _from_ledger(self, request: Request, key: str) -> Reply | None:
        reply = self.ledger.get(key)
        if reply is None:
            return None
        if key in self.new_from_batch:
            self.new_from_batch.discard(key)
            self.models[reply.model] = None
            return reply
        if self.ledger.is_external(key):
            self.budget.add_external(self.budget.original_cost(request, reply))
        return self._count_reused(request, key, reply)

    def _count_reused(self, request: Request, key: str, reply: Reply) -> Reply:
        if key not in self.counted:
            self.usage.add_reused(reply, self.budget.original_cost(request, reply))
        self.models[reply.model] = None
        return reply

    async def _from_other_process(self, request: Request, key: str) -> Reply | None:
        """Claim a key, waiting while another process holds it; returns the reply that it wrote meanwhile."""
        deadline = time.monotonic() + _CLAIM_TIMEOUT_SECONDS
        while not self.ledger.claim(key):
            # A process that is suspended, or hangs, keeps its claims.
            if self.rate_limiter.closed.is_set() or time.monotonic() > deadline:
                return None
            await self.rate_limiter.sleep(_CLAIM_POLL_SECONDS)
        return self._from_ledger(request, key)

    async def _send_with_retries(self, request: Request, key: str) -> Reply:
        attempts = throttled = 0
        while True:
            try:
                return await self._send_once(request, key)
            except Fault as fault:
                self.usage.faults += 1
                if fault.kind not in (FaultKind.THROTTLED, FaultKind.TRANSIENT):
                    raise
                if self.rate_limiter.closed.is_set():
                    raise
                self.rate_limiter.record_fault(fault)
                if fault.kind is FaultKind.THROTTLED:
                    throttled += 1
                elif self.rate_limiter.suspects_outage and await self._is_down(fault):
                    # The server is down: this costs the request no attempt.
                    self.rate_limiter.open_circuit(fault)
                else:
                    attempts += _TIMEOUT_ATTEMPTS if fault.reason == TIMEOUT else 1
                if attempts >= MAX_ATTEMPTS or throttled >= _MAX_THROTTLED:
                    raise Fault(
                        FaultKind.TRANSIENT, fault.reason, f"{fault.detail} ({attempts or throttled} attempts)"
                    ) from None
            if attempts:
                await self.rate_limiter.sleep(backoff(attempts))

    async def _is_down(self, fault: Fault) -> bool:
        """Whether nothing can be answered now: a gateway without the server behind it passes its health check."""
        return fault.reason == NO_BACKEND or not await self._is_healthy()

    async def _is_healthy(self) -> bool:
        """Whether the server responds; checked once a second at most, for all requests."""
        async with self._health_lock:
            if time.monotonic() - self._health_checked_at > _HEALTH_CHECK_SECONDS:
                self._healthy = await self.model.alive()
                self._health_checked_at = time.monotonic()
                if self._healthy:
                    self.rate_limiter.close_circuit()
        return self._healthy

    async def _send_once(self, request: Request, key: str) -> Reply:
        """Send a request once; its reply is in the ledger before it is returned."""
        await self.rate_limiter.acquire(self.budget.tokens.input_tokens(request))
        number = self.refusals.count_sent()
        try:
            reply = await self._complete(request, key)
        except Fault as fault:
            # Before the release below admits the next request.
            self._judge(fault, request, key, number)
            raise
        finally:
            self.rate_limiter.release()
        self.rate_limiter.record_success()
        self.settle_all(number)
        self.usage.add_call(reply)
        self.models[reply.model] = None
        return reply

    async def _complete(self, request: Request, key: str) -> Reply:
        """The model's reply with its cost, which is in the ledger before the reservation is settled."""
        reserved = await self.budget.reserve(request, self.rate_limiter.raise_if_closed)
        try:
            self.rate_limiter.raise_if_closed()
        except Fault:
            self.budget.cancel(reserved)
            raise
        try:
            reply = clean(await self.model.complete(request))
        except Fault as fault:
            self.usage.cost_usd += self.budget.settle_fault(reserved, request, fault)
            raise
        except asyncio.CancelledError:
            self.budget.settle_fault(reserved, request, _CANCELLED)
            raise
        except BaseException:
            self.budget.cancel(reserved)
            raise
        cost = self.budget.cost(request, reply)
        reply = replace(reply, cost_usd=cost if self.budget.price.known else None)
        try:
            self.ledger.add(key, reply, request.model)
        finally:
            self.budget.settle(reserved, request, reply, cost)
        return reply

    def _judge(self, fault: Fault, request: Request, key: str, number: int) -> None:
        """Keep a refusal. Raises Fault, FATAL, where it shows that every request is refused; no more are then sent."""
        if fault.kind is FaultKind.REQUEST:
            self._remember(key, request.model, fault)
        try:
            if fault.unsettled:
                self.refusals.add(number, key, request.model, fault)
            if fault.kind is FaultKind.FATAL:
                raise fault
        except Fault:
            self.rate_limiter.close()
            raise


def clean(reply: Reply) -> Reply:
    """The reply with text that a file can hold, and with the model's id in one line."""
    model = " ".join(replace_surrogates(reply.model).split())
    return replace(reply, text=replace_surrogates(reply.text), model=model)
