"""How fast requests go out: what is in flight, what a 429 changes, and when a server counts as down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from alpaqual.errors import Fault, FaultKind
from alpaqual.inference.rate_limiter import RateLimiter, RateLimits, backoff

DOWN = Fault(FaultKind.TRANSIENT, "no connection")


def throttled(retry_after: float | None = None) -> Fault:
    return Fault(FaultKind.THROTTLED, "rate limit", retry_after=retry_after)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def warm(limiter: RateLimiter) -> None:
    """A first answer has come."""
    limiter.record_success()


def test_the_first_request_is_sent_alone_and_then_up_to_the_limit() -> None:
    async def work() -> tuple[int, int]:
        limiter = RateLimiter(RateLimits(8))
        tasks = [asyncio.create_task(limiter.acquire(1)) for _ in range(20)]
        await asyncio.sleep(0.01)
        alone = limiter.in_flight
        limiter.record_success()
        limiter.release()
        await asyncio.sleep(0.01)
        among = limiter.in_flight
        for task in tasks:
            task.cancel()
        return alone, among

    assert run(work()) == (1, 8)


@pytest.mark.parametrize("concurrency", [1, 2, 7, 64])
def test_no_more_than_asked_for_are_ever_in_flight(concurrency: int) -> None:
    async def work() -> tuple[int, int]:
        limiter, most, done = RateLimiter(RateLimits(concurrency)), 0, 0

        async def one() -> None:
            nonlocal most, done
            await limiter.acquire(1)
            most = max(most, limiter.in_flight)
            await asyncio.sleep(0.0005)
            limiter.record_success()
            limiter.release()
            done += 1

        await asyncio.gather(*(one() for _ in range(300)))
        return most, done

    most, done = run(work())
    assert most == concurrency
    assert done == 300


def test_a_pause_that_the_server_asks_for_holds_all_requests() -> None:
    async def work() -> float:
        limiter = RateLimiter(RateLimits(4))
        warm(limiter)
        limiter.record_fault(throttled(0.2))
        started = time.monotonic()
        await asyncio.gather(*(limiter.acquire(1) for _ in range(2)))
        return time.monotonic() - started

    assert run(work()) >= 0.19


def test_a_burst_of_refusals_slows_down_once_and_success_gives_back_all() -> None:
    async def work() -> tuple[float, float]:
        limiter = RateLimiter(RateLimits(64))
        warm(limiter)
        for _ in range(64):
            limiter.record_fault(throttled(0.0))
        slowed = limiter.concurrency
        for _ in range(5_000):
            limiter.record_success()
        return slowed, limiter.concurrency

    assert run(work()) == (pytest.approx(64 * 0.7), 64)


def test_even_the_lowest_concurrency_grows_again() -> None:
    async def work() -> float:
        limiter = RateLimiter(RateLimits(10))
        warm(limiter)
        limiter.concurrency = limiter.max_concurrency = 1.0
        for _ in range(100):
            limiter.record_success()
        return limiter.concurrency

    assert run(work()) == 10


def test_single_faults_among_answers_open_no_circuit() -> None:
    async def work() -> bool:
        limiter = RateLimiter(RateLimits(8))
        for _ in range(1_000):
            limiter.record_fault(DOWN)
            limiter.record_success()
        return limiter.suspects_outage

    assert run(work()) is False


def test_a_server_that_is_down_is_tried_by_one_request_at_a_time_and_given_up() -> None:
    async def work() -> tuple[bool, float, str]:
        limiter = RateLimiter(RateLimits(8, patience=0.3))
        warm(limiter)
        for _ in range(8):
            limiter.record_fault(DOWN)
        limiter.open_circuit(DOWN)
        was, limit = limiter.suspects_outage, limiter.concurrency
        await asyncio.sleep(0.35)
        limiter.record_fault(DOWN)
        with pytest.raises(Fault, match="no answer for") as fault:
            limiter.open_circuit(DOWN)
        assert fault.value.kind is FaultKind.FATAL
        return was, limit, fault.value.detail

    assert run(work()) == (True, 1.0, "the last fault was: no connection")


def test_pauses_of_an_outage_grow_with_failed_probes_and_not_with_requests_in_flight() -> None:
    async def work() -> list[float]:
        limiter = RateLimiter(RateLimits(64))
        warm(limiter)
        pauses = []
        for _ in range(3):
            for _ in range(64):
                limiter.record_fault(DOWN)
                limiter.open_circuit(DOWN)
            pauses.append(limiter.paused_until - asyncio.get_running_loop().time())
            limiter.paused_until = 0.0
        return pauses

    assert run(work()) == pytest.approx([0.5, 1, 2], abs=0.1)


def test_a_server_that_is_there_after_all_gets_as_much_as_before() -> None:
    async def work() -> float:
        limiter = RateLimiter(RateLimits(8))
        warm(limiter)
        for _ in range(8):
            limiter.record_fault(DOWN)
        limiter.open_circuit(DOWN)
        limiter.close_circuit()
        assert not limiter.suspects_outage
        return limiter.concurrency

    assert run(work()) == 8


def test_a_pause_that_was_asked_for_does_not_count_against_patience() -> None:
    async def work() -> None:
        limiter = RateLimiter(RateLimits(8, patience=0.1))
        for _ in range(5):
            limiter.record_fault(throttled(0.08))
            await asyncio.sleep(0.08)

    run(work())


@pytest.mark.parametrize("kind", [FaultKind.THROTTLED, FaultKind.TRANSIENT])
def test_a_pause_beyond_patience_ends_it_at_once(kind: FaultKind) -> None:
    async def work() -> Fault:
        limiter = RateLimiter(RateLimits(8, patience=120))
        warm(limiter)
        with pytest.raises(Fault) as stopped:
            limiter.record_fault(Fault(kind, "rate limit", "come back tomorrow", 3_600.0))
        return stopped.value

    fault = run(work())
    assert fault.kind is FaultKind.FATAL
    assert "asks to wait 3,600 s, longer than patience_seconds (120)" in str(fault)
    assert "come back tomorrow" in str(fault)


def test_requests_per_minute_are_kept_and_spread() -> None:
    async def work() -> list[float]:
        limiter = RateLimiter(RateLimits(64, requests_per_minute=1_200))
        warm(limiter)
        started, times = time.monotonic(), []

        async def one() -> None:
            await limiter.acquire(1)
            times.append(time.monotonic() - started)
            limiter.release()

        await asyncio.gather(*(one() for _ in range(50)))
        return times

    times = sorted(run(work()))
    # Twenty a second: the first twenty may go at once, the others wait for their time.
    assert times[-1] >= 1.4
    assert sum(moment < 0.5 for moment in times) <= 31


def test_tokens_per_minute_are_kept_and_a_request_larger_than_a_minute_still_goes() -> None:
    async def work() -> float:
        limiter = RateLimiter(RateLimits(4, tokens_per_minute=6_000))
        warm(limiter)
        started = time.monotonic()
        for tokens in (1_000_000, 50):
            await limiter.acquire(tokens)
            limiter.release()
        return time.monotonic() - started

    assert run(work()) >= 0.4


def test_closing_admits_no_request_and_ends_every_wait() -> None:
    async def work() -> list[Any]:
        limiter = RateLimiter(RateLimits(1))
        await limiter.acquire(1)
        waiting = [asyncio.create_task(limiter.acquire(1)) for _ in range(3)] + [asyncio.create_task(limiter.sleep(60))]
        await asyncio.sleep(0.01)
        limiter.close()
        return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)

    *entering, resting = run(work())
    assert [type(each) for each in entering] == [Fault] * 3
    assert resting is None


def test_waits_double_with_jitter_and_end_somewhere() -> None:
    for attempt, middle in ((1, 0.5), (2, 1.0), (3, 2.0), (20, 30.0)):
        waits = [backoff(attempt) for _ in range(200)]
        assert all(middle / 2 <= wait <= middle * 1.5 for wait in waits)
        assert max(waits) - min(waits) > middle / 4
