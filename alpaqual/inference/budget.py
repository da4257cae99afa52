"""Money: what is spent, what is reserved for requests in flight, and the limits on both."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import fields

from alpaqual.amounts import dollars
from alpaqual.errors import BudgetReached, Fault
from alpaqual.inference.limit import Limit, SharedLimit
from alpaqual.inference.price import Price
from alpaqual.values import EXPECTATION_TOKENS, CacheTokens, Reply, Request

_BYTES_PER_TOKEN = 3.0
"""Assumed until a server has counted tokens: English has about four bytes a token, other texts fewer."""
_DEFAULT_REPLY_TOKENS = 1024
"""Assumed length of a reply to a request without `max_tokens`."""
_REPLY_FIELDS = {field.name for field in fields(Reply)}


class TokenEstimate:
    """Estimates tokens, on the high side, from the most that a server has counted.

    That is the largest ratio of tokens to bytes of a prompt, and the longest reply that was longer than its `max_tokens`.
    """

    def __init__(self) -> None:
        self.tokens_per_byte = 0.0
        self.reply_tokens = 0

    def input_tokens(self, request: Request) -> int:
        """Estimated input tokens of a request."""
        ratio = self.tokens_per_byte or 1 / _BYTES_PER_TOKEN
        return int(_bytes_of(request) * ratio) + 4 * len(request.messages) + 1

    def output_tokens(self, request: Request) -> int:
        """Estimated tokens of the longest reply to a request."""
        return max(_max_tokens(request), self.reply_tokens)

    def update(self, request: Request, reply: Reply) -> bool:
        """Learn where a server counted more tokens than estimated; whether it did."""
        ratio = (reply.input_tokens or 0) / max(1, _bytes_of(request))
        longer = (reply.output_tokens or 0) > self.output_tokens(request)
        if longer:
            self.reply_tokens = reply.output_tokens or 0
        if ratio <= self.tokens_per_byte:
            return longer
        self.tokens_per_byte = ratio
        return True


class Budget:
    """Reserves money for each request before it is sent, so that requests in flight together stay within every limit.

    `batch`: the reservations are those of batches, which continue when this process ends.
    """

    def __init__(self, price: Price, limits: Sequence[Limit], *, batch: bool = False) -> None:
        self.price = price
        self.limits = limits
        self.batch = batch
        self.tokens = TokenEstimate()
        self.settled = asyncio.Event()
        self._turn = asyncio.Lock()
        self.lost_usd = 0.0
        """What this run counts for requests that were billed, or may have been, and gave no reply."""

    @property
    def limited(self) -> bool:
        """Whether a limit is finite."""
        return any(math.isfinite(limit.usd) for limit in self.limits)

    @property
    def shared(self) -> SharedLimit | None:
        """The limit that all processes share."""
        return next((limit for limit in self.limits if isinstance(limit, SharedLimit)), None)

    @property
    def includes_reused(self) -> bool:
        """Whether a limit also counts replies of earlier runs and other processes."""
        return any(limit.includes_reused and math.isfinite(limit.usd) for limit in self.limits)

    def mark(self) -> None:
        """Remember what is counted now; the ledger is read next, and `add_known` called with what it has."""
        for limit in self.limits:
            limit.mark()

    def add_known(self, usd: float) -> None:
        """Count the cost of replies of earlier runs; once, before the first request."""
        for limit in self.limits:
            if limit.includes_reused:
                limit.add_known(usd)

    def add_external(self, usd: float) -> None:
        """Count the cost of a reply that another process paid for meanwhile; a shared limit has it already."""
        for limit in self.limits:
            if limit.includes_reused and limit is not self.shared:
                limit.spent += usd

    async def reserve(self, request: Request, check: Callable[[], None] = lambda: None) -> float:
        """Reserve the maximum cost of a request in every limit; returns it in US dollars.

        Waits while requests in flight may still free money, and raises what `check` raises meanwhile. Raises BudgetReached, and
        reserves nothing, where a limit is too small and nothing is in flight.
        """
        if not self.limited:
            for limit in self.limits:
                Limit.add_reservation(limit, 0.0)
            return 0.0
        usd = self.max_cost(request)
        if await self.exceeded(usd) is None:
            return usd
        async with self._turn:
            return await self._reserve_freed(request, check)

    async def _reserve_freed(self, request: Request, check: Callable[[], None]) -> float:
        """As `reserve`, for one request after the other."""
        last = False
        while True:
            check()
            usd = self.max_cost(request)
            exceeded = await self.exceeded(usd)
            if exceeded is None:
                return usd
            if await exceeded.may_free():
                last = False
                self.settled.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.settled.wait(), exceeded.poll_seconds)
            elif last:
                raise BudgetReached(f"{await exceeded.reached()}, and the next request may cost {dollars(usd)} at most")
            else:
                # Another process may have freed money since it was exceeded.
                last = True

    async def exceeded(self, usd: float) -> Limit | None:
        """Reserve in every limit; returns the first limit that this would exceed, and reserves nothing then."""
        for number, limit in enumerate(self.limits):
            if not await limit.reserve(usd, batch=self.batch):
                for earlier in self.limits[:number]:
                    earlier.settle(usd, 0.0, batch=self.batch)
                return limit
        return None

    def add_reservation(self, usd: float) -> None:
        """Count the reservation of a running batch in every limit, whether or not it fits."""
        for limit in self.limits:
            limit.add_reservation(usd)

    def max_cost(self, request: Request) -> float:
        """The estimated maximum cost of a request, in US dollars."""
        if (shared := self.shared) is not None:
            tokens = self.tokens
            learned = shared.spending.learn(tokens.tokens_per_byte, tokens.reply_tokens)
            tokens.tokens_per_byte, tokens.reply_tokens = learned
        return self._most(request)

    def _most(self, request: Request) -> float:
        read = self.tokens.input_tokens(request)
        cache = CacheTokens(written=read) if request.parameters.get("cache") else None
        return self.price.of(read, self.tokens.output_tokens(request), cache)

    def cost(self, request: Request, reply: Reply) -> float:
        """The cost of a reply at the present price, in US dollars; the maximum where the server counts no tokens."""
        written = self.tokens.output_tokens(request) if reply.output_tokens is None else reply.output_tokens
        read = self.tokens.input_tokens(request) if reply.input_tokens is None else reply.input_tokens
        return self.price.of(read, written, reply.cache)

    def original_cost(self, request: Request, reply: Reply) -> float:
        """What a reply of the ledger cost; its cost at the present price where none was known then."""
        return reply.cost_usd or (self.cost(request, reply) if self.price.known else 0.0)

    def settle(self, reserved: float, request: Request, reply: Reply, cost: float | None = None) -> float:
        """Replace a reservation by the cost of the reply, which is returned in US dollars. Settle each reservation once."""
        self.tokens.update(request, reply)
        cost = self.cost(request, reply) if cost is None else cost
        for limit in self.limits:
            limit.settle(reserved, cost, batch=self.batch)
        self.settled.set()
        return cost

    def settle_fault(self, reserved: float, request: Request, fault: Fault) -> float:
        """Replace a reservation by what a fault costs, which is returned in US dollars.

        That is nothing for most. A reply that gives no text is billed all the same, by its usage where the provider counted it;
        one that was lost counts at its most.
        """
        cost = 0.0
        if fault.usage:
            usage = {name: value for name, value in fault.usage.items() if name in _REPLY_FIELDS}
            cost = self.cost(request, Reply("", request.model, **usage))
        elif fault.lost:
            cost = self._most(request)
        if not cost:
            self.cancel(reserved)
            return 0.0
        self.lost_usd += cost
        for limit in self.limits:
            limit.lose(reserved, cost, fault.reason, batch=self.batch)
        self.settled.set()
        return cost

    def cancel(self, reserved: float) -> None:
        """Release the reservation of a request that cost nothing."""
        for limit in self.limits:
            limit.settle(reserved, 0.0, batch=self.batch)
        self.settled.set()


def _max_tokens(request: Request) -> int:
    assumed = EXPECTATION_TOKENS if "choices" in request.parameters else _DEFAULT_REPLY_TOKENS
    return request.parameters.get("max_tokens") or assumed


def _bytes_of(request: Request) -> int:
    return sum(len(text.encode()) for _, text in request.messages)
