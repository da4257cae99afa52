"""Money: what is spent, what is reserved for requests in flight, and the limits on both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from alpaqual.amounts import dollars
from alpaqual.errors import BudgetReached
from alpaqual.inference.price import Price
from alpaqual.values import Reply, Request

_BYTES_PER_TOKEN = 3.0
"""Assumed until a server has counted tokens: English has about four bytes a token, other texts fewer."""
_DEFAULT_REPLY_TOKENS = 1024
"""Assumed length of a reply to a request without `max_tokens`."""


class Limit:
    """A limit in US dollars that several graders may share, with the amounts spent and reserved.

    `includes_reused` limits count the cost of every reply that is used, also of those that earlier runs or other processes
    paid for; other limits count what this run pays.
    """

    def __init__(self, name: str, usd: float, *, includes_reused: bool = False) -> None:
        self.name = name
        self.usd = usd
        self.includes_reused = includes_reused
        self.spent = 0.0
        self.reserved = 0.0
        self.reservations = 0


class TokenEstimate:
    """Estimates tokens from bytes, with the largest tokens-per-byte ratio that a server has counted."""

    def __init__(self) -> None:
        self.tokens_per_byte = 0.0

    def input_tokens(self, request: Request) -> int:
        """Estimated input tokens of a request; errs on the high side."""
        ratio = self.tokens_per_byte or 1 / _BYTES_PER_TOKEN
        return int(_bytes_of(request) * ratio) + 4 * len(request.messages) + 1

    def update(self, request: Request, reply: Reply) -> None:
        """Raise the ratio where a server counted more tokens than it predicts."""
        if reply.input_tokens:
            self.tokens_per_byte = max(self.tokens_per_byte, reply.input_tokens / max(1, _bytes_of(request)))


class Budget:
    """Reserves money for each request before it is sent, so that requests in flight together stay within every limit."""

    def __init__(self, price: Price, limits: Sequence[Limit]) -> None:
        self.price = price
        self.limits = limits
        self.tokens = TokenEstimate()
        self.settled = asyncio.Event()

    @property
    def includes_reused(self) -> bool:
        """Whether a limit also counts replies of earlier runs and other processes."""
        return any(limit.includes_reused for limit in self.limits)

    def add_reused(self, usd: float) -> None:
        """Count the cost of replies that this run did not pay for."""
        for limit in self.limits:
            limit.spent += usd if limit.includes_reused else 0.0

    async def reserve(self, request: Request) -> float:
        """Reserve the maximum cost of a request in every limit; returns it in US dollars.

        Waits while requests in flight may still free money. Raises BudgetReached, and reserves nothing, where a limit is
        too small and no reservation is left.
        """
        if not self.limits:
            return 0.0
        usd = self.max_cost(request)
        while (limit := self.exceeded_limit(usd)) is not None:
            if not limit.reservations:
                raise BudgetReached(f"{limit.name} of {dollars(limit.usd)} reached: {dollars(limit.spent)} spent")
            self.settled.clear()
            await self.settled.wait()
        self.add_reservation(usd)
        return usd

    def add_reservation(self, usd: float) -> None:
        """Count one reservation in every limit, whether or not it fits."""
        for limit in self.limits:
            limit.reserved += usd
            limit.reservations += 1

    def max_cost(self, request: Request) -> float:
        """The estimated maximum cost of a request, in US dollars."""
        return self.price.of(self.tokens.input_tokens(request), _max_reply_tokens(request))

    def exceeded_limit(self, usd: float) -> Limit | None:
        """The first limit that one more reservation of `usd` would exceed."""
        return next((limit for limit in self.limits if limit.spent + limit.reserved + usd > limit.usd), None)

    def settle(self, reserved: float, request: Request, reply: Reply) -> float:
        """Replace a reservation by the cost of the reply; returns it in US dollars. Settle each reservation once."""
        self.tokens.update(request, reply)
        # A server that counts no tokens is charged the maximum, so that limits hold for it too.
        written = _max_reply_tokens(request) if reply.output_tokens is None else reply.output_tokens
        read = self.tokens.input_tokens(request) if reply.input_tokens is None else reply.input_tokens
        cost = self.price.of(read, written)
        self._release(reserved, cost)
        return cost

    def cancel(self, reserved: float) -> None:
        """Release the reservation of a request that cost nothing."""
        self._release(reserved, 0.0)

    def _release(self, reserved: float, cost: float) -> None:
        for limit in self.limits:
            limit.reservations -= 1
            # Exactly zero without reservations: a rounding error would be waited for.
            limit.reserved = limit.reserved - reserved if limit.reservations else 0.0
            limit.spent += cost
        self.settled.set()


def _max_reply_tokens(request: Request) -> int:
    return request.parameters.get("max_tokens") or _DEFAULT_REPLY_TOKENS


def _bytes_of(request: Request) -> int:
    return sum(len(text.encode()) for _, text in request.messages)
