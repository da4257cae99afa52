"""How fast requests go out: in flight at once, per minute, and not at all while a server asks for a pause or is down.

One `Pace` serves all requests to a model, so that what one of them learns holds for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from dataclasses import dataclass

from aiolimiter import AsyncLimiter

from alpaqual.errors import Fault, FaultKind

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class Rate:
    """What a recipe asks for: requests in flight at once, requests and tokens a minute, and patience in seconds.

    Patience is how long a server may answer nothing at all before asking ends.
    """

    concurrency: int = 16
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    patience: float = 120.0


class Pace:
    """Lets requests through. The first goes alone, so that a wrong key or a wrong name costs one request.

    A 429 takes a third from what may be in flight and pauses everybody for as long as the server says; every success gives a little
    back. Where nothing but faults comes back, whoever asks looks whether the server is there at all; while it is not, the
    circuit is open: one request at a time tries again, in growing distances, until patience ends.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.limit = 1.0
        self.ceiling = float(rate.concurrency)
        self.in_flight = 0
        self.answered = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.open_again = 0.0
        self.failing = 0
        self.throttled = 0
        self.quiet_since = 0.0
        self.slowed = 0.0
        self.closed = asyncio.Event()
        # By the second rather than by the minute: a minute's worth sent at once is what servers refuse.
        per_minute = rate.requests_per_minute
        self.requests = per_minute and AsyncLimiter(max(1.0, per_minute / 60), max(1.0, 60 / per_minute))
        self.tokens = rate.tokens_per_minute and AsyncLimiter(rate.tokens_per_minute, 60)

    @property
    def suspicious(self) -> bool:
        """Whether nothing but faults has come back lately: the server may be down, or only the rows that break it are left."""
        return self.failing >= max(4, self.rate.concurrency // 2)

    async def enter(self, tokens: int) -> None:
        """Wait until one more request may go out; `tokens` is what it is expected to cost.

        Raises Fault, transient, once `close` was called.
        """
        while True:
            self.check_open()
            pause = self.open_again - _now()
            if pause > 0:
                await self.rest(pause)
            elif self.in_flight < self.limit:
                break
            else:
                turn = asyncio.get_running_loop().create_future()
                self.waiting.append(turn)
                await turn
        self.in_flight += 1
        try:
            if self.requests:
                await self.requests.acquire()
            if self.tokens and self.rate.tokens_per_minute:
                await self.tokens.acquire(max(1, min(tokens, self.rate.tokens_per_minute)))
            self.check_open()
        except BaseException:
            self.leave()
            raise

    def check_open(self) -> None:
        """Raises Fault, transient, once `close` was called."""
        if self.closed.is_set():
            raise Fault(FaultKind.TRANSIENT, "not asked: asking has stopped")

    async def rest(self, seconds: float) -> None:
        """Sleep so long, or until `close`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closed.wait(), seconds)

    def close(self) -> None:
        """Let nobody in any more."""
        self.closed.set()
        for turn in self.waiting:
            if not turn.done():
                turn.set_result(None)
        self.waiting.clear()

    def leave(self) -> None:
        """A request has come back, with whatever."""
        self.in_flight -= 1
        self.wake()

    def wake(self) -> None:
        """Let in whoever may go now."""
        free = int(self.limit) - self.in_flight
        while free > 0 and self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1

    def succeeded(self) -> None:
        """An answer came: the server is there, and bears what is in flight."""
        self.answered += 1
        self.failing = self.throttled = 0
        if self.limit < self.ceiling:
            self.limit = self.ceiling
        elif self.ceiling < self.rate.concurrency:
            self.limit = self.ceiling = min(self.rate.concurrency, self.limit + 1 / self.limit)

    def failed(self, fault: Fault) -> None:
        """A fault came that may be gone later.

        Raises Fault, fatal, where the server has refused everything as too fast for longer than patience.
        """
        now = _now()
        if not self.failing and not self.throttled:
            self.quiet_since = now
        if fault.kind is FaultKind.THROTTLED:
            self.slow_down(fault, now)
            self.give_up_after(fault)
        else:
            self.failing += 1
            if fault.retry_after is not None:
                self.pause(min(fault.retry_after, _LONGEST_PAUSE))

    def down(self, fault: Fault) -> None:
        """The server is not there: everybody waits, each time longer, and then one request tries.

        Raises Fault, fatal, where it was gone for longer than patience.
        """
        self.give_up_after(fault)
        self.limit = 1.0
        beyond = self.failing - self.rate.concurrency
        self.pause(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(10, max(0, beyond))))

    def there(self) -> None:
        """The server is there, whatever became of the last requests."""
        self.failing = 0
        self.limit = max(self.limit, self.ceiling if self.answered else 1.0)

    def give_up_after(self, fault: Fault) -> None:
        """Raises Fault, fatal, where nothing was answered for longer than patience."""
        quiet = _now() - self.quiet_since
        if quiet > self.rate.patience:
            raise Fault(FaultKind.FATAL, f"no answer for {quiet:.0f} s", f"the last fault was: {fault}")

    def slow_down(self, fault: Fault, now: float) -> None:
        """Take a third from what may be in flight, and wait as long as the server says."""
        self.throttled += 1
        # Requests of one burst are refused together: that is one reason to slow down, not fifty.
        first_of_burst = now - self.slowed > 1
        if first_of_burst:
            self.slowed = now
            self.ceiling = max(1.0, self.ceiling * 0.7)
            self.limit = min(self.limit, self.ceiling)
        if fault.retry_after is not None:
            self.pause(fault.retry_after)
            # A pause that the server asked for does not try anybody's patience.
            self.quiet_since = max(self.quiet_since, now + fault.retry_after)
        elif first_of_burst:
            self.pause(backoff(min(6, self.throttled)))

    def pause(self, seconds: float) -> None:
        """Nothing goes out for so long."""
        self.open_again = max(self.open_again, _now() + seconds)


def backoff(attempt: int) -> float:
    """Seconds until a request is sent again, after its `attempt`-th fault: doubling, with jitter."""
    return float(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5))


def _now() -> float:
    return asyncio.get_running_loop().time()
