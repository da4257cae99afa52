"""Rate limits of one model: requests in flight, requests and tokens per minute, and pauses after faults.

All requests to a model share one `RateLimiter`, so that a 429 to one request slows down all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from dataclasses import dataclass

from aiolimiter import AsyncLimiter

from alpaqual.errors import Fault, FaultKind

_FIRST_BACKOFF = 0.5
_MAX_BACKOFF = 30.0


@dataclass(frozen=True)
class RateLimits:
    """What the recipe allows: requests in flight, requests and tokens per minute.

    `patience` is in seconds: the run stops when the server has answered nothing for longer.
    """

    concurrency: int = 16
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    patience: float = 120.0


class RateLimiter:
    """Admits requests; one at a time until the first reply, so that a wrong key or model name costs few.

    Additive increase, multiplicative decrease: a 429 multiplies the concurrency by 0.7 and pauses all requests for as long as
    the server asks; each success raises it a little. After a series of faults the client checks the server's health; while
    the server is down the circuit is open: one request at a time is tried, with growing pauses, until patience ends.
    """

    def __init__(self, limits: RateLimits) -> None:
        self.limits = limits
        self.concurrency = 1.0
        self.max_concurrency = float(limits.concurrency)
        self.in_flight = 0
        self.succeeded = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.paused_until = 0.0
        self.faults_in_a_row = 0
        self.throttled_in_a_row = 0
        self.probes_failed = 0
        self.failing_since = 0.0
        self.slowed_at = 0.0
        self.closed = asyncio.Event()
        # Per second, not per minute: a minute's worth sent at once is what servers refuse.
        per_minute = limits.requests_per_minute
        self.requests = per_minute and AsyncLimiter(max(1.0, per_minute / 60), max(1.0, 60 / per_minute))
        self.tokens = limits.tokens_per_minute and AsyncLimiter(limits.tokens_per_minute, 60)

    @property
    def suspects_outage(self) -> bool:
        """Whether only faults came back lately: the server may be down, or only rows that break it may be left."""
        return self.faults_in_a_row >= max(4, self.limits.concurrency // 2)

    async def acquire(self, tokens: int) -> None:
        """Wait until one more request may be sent; `tokens` is its estimated number of input tokens.

        Raises Fault, TRANSIENT, after `close`.
        """
        while True:
            self.raise_if_closed()
            pause = self.paused_until - _now()
            if pause > 0:
                await self.sleep(pause)
            elif self.in_flight < self.concurrency:
                break
            else:
                turn = asyncio.get_running_loop().create_future()
                self.waiting.append(turn)
                await turn
        self.in_flight += 1
        try:
            if self.requests:
                await self.requests.acquire()
            if self.tokens and self.limits.tokens_per_minute:
                await self.tokens.acquire(max(1, min(tokens, self.limits.tokens_per_minute)))
            self.raise_if_closed()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Count a request as back, answered or not, and admit the next."""
        self.in_flight -= 1
        self._admit_waiting()

    def raise_if_closed(self) -> None:
        """Raise Fault, TRANSIENT, after `close`."""
        if self.closed.is_set():
            raise Fault(FaultKind.TRANSIENT, "not sent: the run is stopping")

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, or until `close`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closed.wait(), seconds)

    def close(self) -> None:
        """Admit no more requests and wake all that wait."""
        self.closed.set()
        for turn in self.waiting:
            if not turn.done():
                turn.set_result(None)
        self.waiting.clear()

    def record_success(self) -> None:
        """Count an answered request, and raise the concurrency."""
        self.succeeded += 1
        self.faults_in_a_row = self.throttled_in_a_row = self.probes_failed = 0
        if self.concurrency < self.max_concurrency:
            self.concurrency = self.max_concurrency
        elif self.max_concurrency < self.limits.concurrency:
            self.max_concurrency = min(self.limits.concurrency, self.concurrency + 1 / self.concurrency)
            self.concurrency = self.max_concurrency

    def record_fault(self, fault: Fault) -> None:
        """Count a fault that a retry may pass.

        Raises Fault, FATAL, where the server has throttled every request for longer than patience, or asks to wait for longer.
        """
        raise_beyond(fault, self.limits.patience)
        now = _now()
        if not self.faults_in_a_row and not self.throttled_in_a_row:
            self.failing_since = now
        if fault.kind is FaultKind.THROTTLED:
            self._reduce_concurrency(fault, now)
            self._raise_after_patience(fault)
        else:
            self.faults_in_a_row += 1
            if fault.retry_after is not None:
                self._pause(min(fault.retry_after, _MAX_BACKOFF))

    def open_circuit(self, fault: Fault) -> None:
        """The server is down: pause all requests, longer each time, then try one.

        Raises Fault, FATAL, where it has been down for longer than patience.
        """
        self._raise_after_patience(fault)
        self.concurrency = 1.0
        if _now() < self.paused_until:
            return  # A request that was in flight when the circuit opened: it says nothing new.
        self._pause(min(_MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(10, self.probes_failed)))
        self.probes_failed += 1

    def close_circuit(self) -> None:
        """The server is up: return to the concurrency from before."""
        self.faults_in_a_row = self.probes_failed = 0
        self.concurrency = max(self.concurrency, self.max_concurrency if self.succeeded else 1.0)

    def _admit_waiting(self) -> None:
        free = int(self.concurrency) - self.in_flight
        while free > 0 and self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1

    def _raise_after_patience(self, fault: Fault) -> None:
        failing = _now() - self.failing_since
        if failing > self.limits.patience:
            raise Fault(FaultKind.FATAL, f"no answer for {failing:.0f} s", f"the last fault was: {fault}")

    def _reduce_concurrency(self, fault: Fault, now: float) -> None:
        self.throttled_in_a_row += 1
        # The requests of one burst are refused together: they count as one reason to slow down.
        first_of_burst = now - self.slowed_at > 1
        if first_of_burst:
            self.slowed_at = now
            self.max_concurrency = max(1.0, self.max_concurrency * 0.7)
            self.concurrency = min(self.concurrency, self.max_concurrency)
        if fault.retry_after is not None:
            self._pause(fault.retry_after)
            # A pause that the server asked for does not count against patience.
            self.failing_since = max(self.failing_since, now + fault.retry_after)
        elif first_of_burst:
            self._pause(backoff(min(6, self.throttled_in_a_row)))

    def _pause(self, seconds: float) -> None:
        self.paused_until = max(self.paused_until, _now() + seconds)


def raise_beyond(fault: Fault, patience: float) -> None:
    """Raise Fault, FATAL, where a server asks to wait for more seconds than the recipe's patience."""
    wait = fault.retry_after
    if wait is not None and wait > patience:
        asked = f"the server asks to wait {wait:,.0f} s, longer than patience_seconds ({patience:g})"
        raise Fault(FaultKind.FATAL, asked, f"{fault}")


def backoff(attempt: int) -> float:
    """Seconds before the retry after the `attempt`-th fault: exponential, with jitter."""
    return float(min(_MAX_BACKOFF, _FIRST_BACKOFF * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5))


def _now() -> float:
    return asyncio.get_running_loop().time()
