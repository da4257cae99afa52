"""Money: what is spent, what requests in flight may still cost, and where to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from alpaqual.errors import BudgetReached
from alpaqual.inference.price import Price, dollars
from alpaqual.values import Reply, Request

_BYTES_A_TOKEN = 3.0
"""Before a server has counted any: English has four characters a token, other texts fewer."""
_REPLY_TOKENS = 1024
"""What a reply without `max_tokens` may be long."""


class Limit:
    """An amount of US dollars that several graders may share, and what of it is gone or promised.

    `in_all` is one for every reply that is used, whoever paid for it and when; others are for what this run pays.
    """

    def __init__(self, name: str, usd: float, *, in_all: bool = False) -> None:
        self.name = name
        self.usd = usd
        self.in_all = in_all
        self.spent = 0.0
        self.promised = 0.0
        self.promises = 0


class Tokens:
    """How many tokens texts have, learned from what servers counted: the most tokens a byte that were seen."""

    def __init__(self) -> None:
        self.most = 0.0

    def expected(self, request: Request) -> int:
        """Input tokens of a request, rather too many than too few."""
        ratio = self.most or 1 / _BYTES_A_TOKEN
        return int(_size(request) * ratio) + 4 * len(request.messages) + 1

    def learn(self, request: Request, reply: Reply) -> None:
        """Take in what a server counted."""
        if reply.input_tokens:
            self.most = max(self.most, reply.input_tokens / max(1, _size(request)))


class Budget:
    """Promises money to requests before they go out, so that those in flight together cannot pass a limit either."""

    def __init__(self, price: Price, limits: Sequence[Limit]) -> None:
        self.price = price
        self.limits = limits
        self.tokens = Tokens()
        self.settled = asyncio.Event()

    @property
    def in_all(self) -> bool:
        """Whether a limit is for replies of earlier runs and other processes, too."""
        return any(limit.in_all for limit in self.limits)

    def used(self, usd: float) -> None:
        """Take in what replies cost that this run has not paid for."""
        for limit in self.limits:
            limit.spent += usd if limit.in_all else 0.0

    async def promise(self, request: Request) -> float:
        """The most that a request may cost, in US dollars, taken from every limit; waits while others in flight may give some back.

        Raises BudgetReached, and takes nothing, where a limit has less.
        """
        if not self.limits:
            return 0.0
        most = self.most(request)
        while (short := self.short(most)) is not None:
            if not short.promises:
                raise BudgetReached(f"{short.name} of {dollars(short.usd)} reached: {dollars(short.spent)} spent")
            self.settled.clear()
            await self.settled.wait()
        for limit in self.limits:
            limit.promised += most
            limit.promises += 1
        return most

    def most(self, request: Request) -> float:
        """What a request costs at most, in US dollars, as far as can be told before it is sent."""
        return self.price.of(self.tokens.expected(request), _longest(request))

    def short(self, usd: float) -> Limit | None:
        """A limit that has less left than this."""
        return next((limit for limit in self.limits if limit.spent + limit.promised + usd > limit.usd), None)

    def settle(self, promised: float, request: Request, reply: Reply | None) -> float:
        """Give a promise back and take what the reply cost; US dollars. Each promise is settled once."""
        cost = 0.0
        if reply is not None:
            self.tokens.learn(request, reply)
            # What nobody counted is taken for the most it can be: a limit holds for such servers, too.
            said = _longest(request) if reply.output_tokens is None else reply.output_tokens
            read = self.tokens.expected(request) if reply.input_tokens is None else reply.input_tokens
            cost = self.price.of(read, said)
        for limit in self.limits:
            limit.promises -= 1
            # Without a promise nothing is promised: what rounding leaves over would be waited for.
            limit.promised = limit.promised - promised if limit.promises else 0.0
            limit.spent += cost
        self.settled.set()
        return cost


def _longest(request: Request) -> int:
    """What the reply may be long, in tokens."""
    return request.parameters.get("max_tokens") or _REPLY_TOKENS


def _size(request: Request) -> int:
    return sum(len(text.encode()) for _, text in request.messages)
