"""Limits of money: one of this process alone, or one that all processes of a project share."""

from __future__ import annotations

import time
from typing import Protocol

from alpaqual.amounts import dollars

_PATIENCE_SECONDS = 300.0
"""How long requests of other processes may free no money before this one stops waiting for it."""


class Spending(Protocol):
    """What all processes spend and reserve on the same requests at this moment, in US dollars."""

    @property
    def lost_usd(self) -> float:
        """What is counted for requests whose reply was lost, those of earlier runs included."""
        ...

    def mark(self) -> None:
        """Remember what is counted now. The ledger is read next: what it has then is compared with this."""
        ...

    def raise_to(self, known: float) -> None:
        """Take in what the replies cost that the ledger had at `mark`; call it once, before the first request."""
        ...

    async def reserve(self, usd: float, limit: float, *, batch: bool = False) -> bool:
        """Reserve for one request; False, and nothing reserved, where the sum over all processes would pass the limit.

        `batch`: the reservation outlives this process, since the batch does.
        """
        ...

    def settle(self, reserved: float, cost: float, *, batch: bool = False) -> None:
        """Replace a reservation by what was paid."""
        ...

    def lose(self, reserved: float, cost: float, reason: str, *, batch: bool = False) -> None:
        """Replace a reservation by what a lost reply may have cost, and keep that for later runs."""
        ...

    async def sums(self) -> tuple[float, float]:
        """Spent, and reserved by other processes that run."""
        ...

    def learn(self, tokens_per_byte: float, reply_tokens: int) -> tuple[float, int]:
        """Share the most tokens a byte and the longest reply that were counted; returns those of all processes."""
        ...


class Limit:
    """A limit in US dollars that several graders may share, with the amounts spent and reserved.

    `includes_reused` limits count the cost of every reply that is used, also of those that earlier runs or other processes
    paid for; other limits count what this run pays.
    """

    poll_seconds: float | None = None
    """Seconds after which money may be free without a reply to this process; None: never."""

    def __init__(self, name: str, usd: float, *, includes_reused: bool = False) -> None:
        self.name = name
        self.usd = usd
        self.includes_reused = includes_reused
        self.spent = 0.0
        self.reserved = 0.0
        self.reservations = 0

    async def reserve(self, usd: float, *, batch: bool = False) -> bool:
        """Reserve for one request; False, and nothing reserved, where that would pass the limit."""
        if self.spent + self.reserved + usd > self.usd:
            return False
        self.add_reservation(usd)
        return True

    def add_reservation(self, usd: float) -> None:
        """Count a reservation, whether or not it fits."""
        self.reserved += usd
        self.reservations += 1

    def settle(self, reserved: float, cost: float, *, batch: bool = False) -> None:
        """Replace a reservation by what was paid."""
        self.reservations -= 1
        # Exactly zero without reservations: a rounding error would be waited for.
        self.reserved = self.reserved - reserved if self.reservations else 0.0
        self.spent += cost

    def lose(self, reserved: float, cost: float, reason: str, *, batch: bool = False) -> None:
        """Replace a reservation by what a lost reply may have cost."""
        self.settle(reserved, cost)

    def add_spent(self, usd: float) -> None:
        """Count what was paid without a reservation."""
        self.spent += usd

    def mark(self) -> None:
        """Remember what is counted now, before the ledger is read."""

    def add_known(self, usd: float) -> None:
        """Count what the replies of earlier runs cost, all that the ledger had at `mark`."""
        self.spent += usd

    async def may_free(self) -> bool:
        """Whether requests in flight may still free money."""
        return self.reservations > 0

    async def reached(self) -> str:
        """That the limit is reached, in words."""
        return f"{self.name} of {dollars(self.usd)} reached: {dollars(self.spent)} spent"


class SharedLimit(Limit):
    """A limit on what all processes of a project spend on the same requests, replies of earlier runs included."""

    poll_seconds = 0.05

    def __init__(self, name: str, usd: float, spending: Spending) -> None:
        """`usd` may be infinite: other processes then see what this one spends."""
        super().__init__(name, usd, includes_reused=True)
        self.spending = spending
        self._seen = (0.0, 0.0)
        self._seen_at = 0.0

    async def reserve(self, usd: float, *, batch: bool = False) -> bool:
        """See `Limit.reserve`."""
        if not await self.spending.reserve(usd, self.usd, batch=batch):
            return False
        super().add_reservation(usd)
        return True

    def add_reservation(self, usd: float) -> None:
        """See `Limit.add_reservation`. It is that of a batch, which outlives a process."""
        super().add_reservation(usd)
        self.spending.settle(-usd, 0.0, batch=True)

    def settle(self, reserved: float, cost: float, *, batch: bool = False) -> None:
        """See `Limit.settle`."""
        super().settle(reserved, cost)
        self.spending.settle(reserved, cost, batch=batch)

    def lose(self, reserved: float, cost: float, reason: str, *, batch: bool = False) -> None:
        """See `Limit.lose`."""
        super().settle(reserved, cost)
        self.spending.lose(reserved, cost, reason, batch=batch)

    def add_spent(self, usd: float) -> None:
        """See `Limit.add_spent`."""
        super().add_spent(usd)
        self.spending.settle(0.0, usd)

    def mark(self) -> None:
        """See `Limit.mark`."""
        self.spending.mark()

    def add_known(self, usd: float) -> None:
        """See `Limit.add_known`."""
        self.spending.raise_to(usd)

    async def may_free(self) -> bool:
        """See `Limit.may_free`. Other processes have some minutes to free any."""
        if self.reservations:
            return True
        now, seen = time.monotonic(), await self.spending.sums()
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        return seen[1] > 0 and now - self._seen_at < _PATIENCE_SECONDS

    async def reached(self) -> str:
        """See `Limit.reached`."""
        spent, _ = await self.spending.sums()
        lost = self.spending.lost_usd
        more = f", {dollars(lost)} of it for requests whose reply was lost" if lost else ""
        return f"{self.name} of {dollars(self.usd)} reached: {dollars(spent)} spent{more}"
