"""Batches against a server in a process of its own: nothing is sent twice, nothing that was answered is lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiers
from loopback import Server, answering, joined, score_of
from loopback.answering import requests_of

from alpaqual.errors import BudgetReached, Fault, FaultKind, StageError
from alpaqual.inference import batch
from alpaqual.inference.batch import BatchClient, BatchTiming
from alpaqual.inference.batch_state import Batch, write_batch
from alpaqual.inference.budget import Budget
from alpaqual.inference.limit import Limit
from alpaqual.inference.price import FREE, Price
from alpaqual.llm._faults import keys_digest
from alpaqual.registry import find
from alpaqual.store.ledger import Ledger, request_key
from alpaqual.values import Endpoint, Reply, Request

pytestmark = pytest.mark.slow

PROVIDERS = ("openai", "anthropic")
CREATE = {"openai": "POST /v1/batches", "anthropic": "POST /v1/messages/batches"}
RESULTS = {"openai": "GET /v1/files/*", "anthropic": "GET /v1/messages/batches/*/results"}
POLL = {"openai": "GET /v1/batches/*", "anthropic": "GET /v1/messages/batches/*"}
TIMING = BatchTiming(poll=0.02, listing_delay=0.05, patience=20)


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # Faults come back at once.
    monkeypatch.setattr(batch, "backoff", lambda attempt: 0.01 * attempt)
    running.forget()
    running.restore(record=True)
    return running


class Work:
    """One folder with a ledger and state files; `answer` is what one process does."""

    def __init__(self, server: Server, folder: Path, provider: str) -> None:
        self.server = server
        self.folder = folder
        self.provider = provider
        self.limits: list[Limit] = []
        self.price = FREE
        self.in_a_batch = 20
        self.timing = TIMING
        self.batches: BatchClient

    async def asked(self, requests: Iterable[Request], *, cancel_when: Callable[[], bool] | None = None) -> Any:
        address = getattr(self.server, self.provider)
        plugin = find("llm", self.provider)(Endpoint(self.provider, "m", base_url=address, timeout=2))
        plugin.BATCH_REQUESTS = self.in_a_batch
        ledger = Ledger(self.folder / "ledger")
        self.batches = BatchClient(
            plugin, ledger, Budget(self.price, self.limits), self.folder / "batches", self.timing
        )
        work = asyncio.create_task(self.batches.send(requests))
        try:
            while cancel_when is not None and not work.done():
                await asyncio.sleep(0.01)
                if cancel_when():
                    work.cancel()
                    break
            return await work
        finally:
            await plugin.close()
            ledger.close()

    def answer(self, requests: Iterable[Request]) -> Mapping[str, Fault]:
        found: Mapping[str, Fault] = asyncio.run(self.asked(requests))
        return found

    def interrupted(self, requests: Iterable[Request], when: Callable[[], bool]) -> None:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(self.asked(requests, cancel_when=when))

    def requests(self, count: int) -> list[Request]:
        return requests_of(count, self.provider)

    def states(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in sorted((self.folder / "batches").glob("*.json"))]

    def has(self, requests: Iterable[Request]) -> None:
        """Every reply is in the ledger, the right one, once."""
        requests = list(requests)
        lines = [line for file in (self.folder / "ledger").glob("*.jsonl") for line in file.read_text().splitlines()]
        ledger = Ledger(self.folder / "ledger")
        for request in requests:
            reply = ledger.get(request_key(request))
            assert reply is not None
            assert reply.text.startswith(f"{score_of(joined(request.messages)):g}\n")
        ledger.close()
        assert len(lines) == len(requests)


@pytest.fixture(params=PROVIDERS)
def work(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Work:
    return Work(server, tmp_path, request.param)


@pytest.fixture
def openai(server: Server, tmp_path: Path) -> Work:
    return Work(server, tmp_path, "openai")


def test_every_request_is_answered_once(work: Work) -> None:
    work.server.settings(batch_seconds=0.1)
    requests = work.requests(70)

    assert work.answer([*requests, *requests]) == {}

    work.has(requests)
    stats = work.server.stats()
    assert (stats["prompts"], stats["most_of_one"], stats["answered_again"]) == (70, 1, 0)
    assert 4 <= len(work.server.batches()) <= 5
    assert work.states() == []
    assert work.batches.usage.calls_made == 70
    assert list(work.batches.models) == [f"{work.provider}/m"]
    assert work.batches.progress.ended


def test_what_the_ledger_has_is_not_sent(work: Work) -> None:
    requests = work.requests(30)
    work.answer(requests[:20])

    work.answer(requests)
    work.answer(requests)

    work.has(requests)
    assert work.server.stats()["prompts"] == 30


def test_nothing_to_ask(work: Work) -> None:
    assert work.answer([]) == {}
    assert work.server.stats()["requests"] == 0


def test_rows_that_got_no_reply_are_faults(work: Work) -> None:
    work.server.settings(
        rows={"row 0003": "expire", "row 0004": "cancel", "row 0005": "context_length", "row 0006": "left_out"}
    )
    requests = work.requests(10)
    keys = [request_key(request) for request in requests]

    faults = work.answer(requests)

    kinds = {keys.index(key): fault.kind for key, fault in faults.items()}
    assert kinds == {3: FaultKind.TRANSIENT, 4: FaultKind.TRANSIENT, 5: FaultKind.REQUEST, 6: FaultKind.TRANSIENT}
    assert faults[keys[3]].reason == "expired in the batch"
    assert work.batches.usage.faults == 4
    work.has([request for at, request in enumerate(requests) if at not in kinds])

    work.server.settings(rows={})
    assert work.answer(requests) == {}
    work.has(requests)
    assert work.server.stats()["prompts"] == 14


def test_a_batch_that_expired_as_a_whole(work: Work) -> None:
    work.server.settings(batch_end="expired")
    requests = work.requests(8)

    assert {fault.reason for fault in work.answer(requests).values()} == {"expired in the batch"}

    work.server.settings(batch_end="completed")
    assert work.answer(requests) == {}
    work.has(requests)


@pytest.mark.parametrize("kind", ["error", "throttle", "reset", "html"])
def test_a_provider_that_is_ill_for_a_moment(work: Work, kind: str) -> None:
    work.server.settings(
        retry_after=0.05, paths={POLL[work.provider]: [kind, 2], CREATE[work.provider]: [kind, 2]}, batch_seconds=0.05
    )
    requests = work.requests(25)

    assert work.answer(requests) == {}

    work.has(requests)
    assert work.server.stats()["most_of_one"] == 1


@pytest.mark.parametrize("kind", ["reset", "truncated"])
def test_results_that_break_off_are_fetched_again(work: Work, kind: str) -> None:
    work.server.settings(paths={RESULTS[work.provider]: [kind, 2]})
    requests = work.requests(40)

    assert work.answer(requests) == {}

    work.has(requests)
    assert work.server.stats()["most_of_one"] == 1


def test_a_provider_that_stays_away(work: Work) -> None:
    work.timing = BatchTiming(poll=0.02, listing_delay=0.05, patience=0.2)
    work.server.settings(paths={POLL[work.provider]: "unavailable"})
    requests = work.requests(5)

    with pytest.raises(Fault, match="no answer for") as stopped:
        work.answer(requests)

    assert stopped.value.kind is FaultKind.FATAL
    assert len(work.states()) == 1
    work.server.settings(paths={})
    assert work.answer(requests) == {}
    work.has(requests)
    assert work.server.stats()["most_of_one"] == 1


def test_a_batch_that_is_refused_leaves_nothing_behind(work: Work) -> None:
    work.server.settings(key="another")

    with pytest.raises(Fault) as stopped:
        work.answer(work.requests(5))

    assert stopped.value.kind is FaultKind.FATAL
    assert work.states() == []


def test_a_batch_that_failed_says_why(openai: Work) -> None:
    openai.server.settings(batch_end="failed", batch_error="line 3: the body is no JSON")

    with pytest.raises(Fault, match="line 3: the body is no JSON") as stopped:
        openai.answer(openai.requests(5))

    assert stopped.value.kind is FaultKind.FATAL
    assert openai.states() == []


def test_a_batch_that_finds_the_queue_full_is_sent_again_in_parts(openai: Work) -> None:
    openai.server.settings(batch_end="failed", batch_code="token_limit_exceeded")
    requests = openai.requests(20)

    async def later() -> Any:
        asked = asyncio.create_task(openai.asked(requests))
        while len(openai.server.batches()) < 2:
            await asyncio.sleep(0.01)
        openai.server.settings(batch_end="completed")
        return await asked

    assert asyncio.run(later()) == {}

    openai.has(requests)
    assert openai.server.batches()[-1]["rows"] < 20


def test_settings_that_every_row_is_refused_for(work: Work) -> None:
    work.server.settings(all="unsupported")

    with pytest.raises(Fault, match=r"[Uu]nsupported") as stopped:
        work.answer(work.requests(60))

    assert stopped.value.kind is FaultKind.FATAL
    assert len(work.server.batches()) <= 4


def test_an_unknown_model_ends_it(work: Work) -> None:
    work.server.settings(all="not_found")

    with pytest.raises(Fault, match="does not exist") as stopped:
        work.answer(work.requests(3))

    assert stopped.value.kind is FaultKind.FATAL


# Interruptions


def test_interrupted_while_a_batch_runs(work: Work) -> None:
    work.server.settings(batch_seconds=0.4)
    requests = work.requests(30)

    work.interrupted(requests, lambda: len(work.states()) == 2 and all(state["batch"] for state in work.states()))
    assert len(work.states()) == 2

    assert work.answer(requests) == {}
    work.has(requests)
    assert work.server.stats()["most_of_one"] == 1


def test_a_batch_that_the_provider_forgot_is_asked_again(work: Work) -> None:
    work.server.settings(batch_seconds=60)
    requests = work.requests(30)
    work.interrupted(requests, lambda: len(work.states()) == 2 and all(state["batch"] for state in work.states()))

    work.server.forget()
    work.server.settings(batch_seconds=0)

    assert work.answer(requests) == {}
    work.has(requests)
    assert work.server.stats()["most_of_one"] == 2
    assert work.states() == []


def test_a_batch_forgotten_while_it_is_waited_for(work: Work) -> None:
    work.server.settings(batch_seconds=60)
    requests = work.requests(10)

    async def later() -> Any:
        asked = asyncio.create_task(work.asked(requests))
        while not work.server.batches():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        work.server.settings(batch_seconds=0)
        work.server.forget()
        return await asked

    assert asyncio.run(later()) == {}
    work.has(requests)


def test_another_model_leaves_the_state_of_this_one(work: Work) -> None:
    work.server.settings(batch_seconds=60)
    work.interrupted(work.requests(5), lambda: any(state["batch"] for state in work.states()))
    work.server.settings(batch_seconds=0)
    others = [Request("another/m", request.messages) for request in work.requests(3)]

    assert work.answer(others) == {}

    work.has(others)
    assert len(work.states()) == 1


def test_a_state_whose_replies_are_all_there_costs_nothing(work: Work) -> None:
    requests = work.requests(5)
    work.answer(requests)
    keys = [request_key(request) for request in requests]
    write_batch(work.folder / "batches", Batch("old", requests[0].model, keys, 0.0, time.time(), "batch_x"))
    work.server.reset()

    assert work.answer(requests) == {}

    assert work.states() == []
    assert work.server.stats()["requests"] == 0


def test_a_state_that_cannot_be_read(work: Work) -> None:
    (work.folder / "batches").mkdir()
    (work.folder / "batches" / "x.json").write_text("{")

    with pytest.raises(StageError, match=r"x\.json cannot be read"):
        work.answer(work.requests(1))


def test_nothing_is_sent_that_no_state_says(work: Work) -> None:
    (work.folder / "batches").write_text("a file where the folder should be")

    with pytest.raises(StageError, match="no batch is submitted without it"):
        work.answer(work.requests(1))

    assert work.server.stats()["requests"] == 0


def test_a_batch_of_another_process_is_not_taken_for_this_one(server: Server, tmp_path: Path) -> None:
    """Killed before sending, while another process of the same workspace sends as many requests."""
    work, other = Work(server, tmp_path / "ours", "anthropic"), Work(server, tmp_path / "other", "anthropic")
    server.settings(batch_seconds=0.3)
    requests = work.requests(5)
    keys = [request_key(request) for request in requests]
    label = f"alpaqual.x.{int(time.time())}.{len(keys)}.{keys_digest(keys)[:16]}"
    write_batch(work.folder / "batches", Batch(label, requests[0].model, keys, 0.0, time.time()))
    theirs = work.requests(10)[5:]
    other.interrupted(theirs, lambda: any(state["batch"] for state in other.states()))

    assert work.answer(requests) == {}
    assert other.answer(theirs) == {}

    work.has(requests)
    other.has(theirs)
    assert server.stats()["most_of_one"] == 1


# Killed


def child(work: Work, count: int, in_a_batch: int = 20) -> subprocess.Popen[str]:
    """Another process at the same work; it has begun."""
    address = getattr(work.server, work.provider)
    words = [sys.executable, answering.__file__, work.provider, address, str(work.folder), str(count), str(in_a_batch)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def until(happened: Callable[[], object]) -> None:
    for _ in range(500):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_killed_at_random_moments(work: Work) -> None:
    moments = random.Random(work.provider)
    requests = work.requests(120)
    for _ in tiers.moments(2, 5):
        work.server.settings(latency_ms=25, jitter_ms=20, batch_seconds=moments.uniform(0, 0.5))
        process = child(work, 120)
        time.sleep(moments.uniform(0, 0.7))
        kill(process)
    work.server.settings(latency_ms=0, jitter_ms=0)

    assert work.answer(requests) == {}

    work.has(requests)
    stats = work.server.stats()
    assert (stats["prompts"], stats["most_of_one"]) == (120, 1)
    assert work.states() == []


@pytest.mark.parametrize("moment", ["create", "results", "poll"])
def test_killed_at_this_moment(work: Work, moment: str) -> None:
    """The provider has done what it was asked, and the process never hears of it."""
    path = {"create": CREATE, "results": RESULTS, "poll": POLL}[moment][work.provider]
    work.server.settings(paths={path: ["hang", 1]})
    requests = work.requests(10)
    process = child(work, 10)
    until(lambda: work.server.stats()["in_flight"])
    kill(process)

    assert work.answer(requests) == {}

    work.has(requests)
    assert work.server.stats()["most_of_one"] == 1


def test_killed_before_anything_was_sent(openai: Work) -> None:
    openai.server.settings(paths={"POST /v1/files": ["hang", 1]})
    requests = openai.requests(10)
    process = child(openai, 10)
    until(lambda: openai.server.stats()["in_flight"])
    kill(process)
    assert len(openai.states()) == 1

    assert openai.answer(requests) == {}

    openai.has(requests)
    assert openai.server.stats()["most_of_one"] == 1


# Money, and what is in memory


def test_no_batch_may_pass_a_limit(work: Work) -> None:
    """Each request may cost up to 20 cents, and costs 12."""
    work.price = Price(10_000.0, 10_000.0, "the test")
    work.server.settings(batch_seconds=0.05, input_tokens=6, output_tokens=6)
    work.limits = [Limit("budget_usd", 5.0)]
    requests = work.requests(100)

    with pytest.raises(BudgetReached):
        work.answer(requests)

    (limit,) = work.limits
    assert 4.8 <= limit.spent <= 5.0
    assert (limit.reserved, limit.reservations) == (0.0, 0)
    assert work.server.stats()["prompts"] == round(limit.spent / 0.12)
    assert work.batches.usage.cost_usd == pytest.approx(limit.spent)
    assert work.states() == []

    work.limits = []
    assert work.answer(requests) == {}
    work.has(requests)


def test_what_an_earlier_process_sent_is_paid_from_the_limit(work: Work) -> None:
    work.price = Price(10_000.0, 10_000.0, "the test")
    work.server.settings(batch_seconds=0.3, input_tokens=6, output_tokens=6)
    work.limits = [Limit("budget_usd", 5.0)]
    requests = work.requests(20)
    work.interrupted(requests, lambda: any(state["batch"] for state in work.states()))

    work.limits = [Limit("budget_usd", 5.0)]
    assert work.answer(requests) == {}

    (limit,) = work.limits
    assert limit.spent == pytest.approx(20 * 0.12)
    assert (limit.reserved, limit.reservations) == (0.0, 0)


def test_a_limited_number_of_requests_is_in_memory(work: Work) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Request]:
        for at, request in enumerate(work.requests(1000)):
            taken.append(at)
            yield request

    work.server.settings(batch_seconds=60)
    work.interrupted(endless(), lambda: len(work.states()) == 8 and all(state["batch"] for state in work.states()))

    assert len(taken) <= 8 * 20 + 1


def test_large_requests_make_smaller_batches(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_MAX_BYTES", 5_000)
    requests = [Request(f"{work.provider}/m", (("user", f"{at} " + "long " * 400),)) for at in range(6)]

    assert work.answer(requests) == {}

    work.has(requests)
    assert [sent["rows"] for sent in work.server.batches()] == [2, 2, 2]


def test_replies_carry_the_price_of_the_budget(work: Work) -> None:
    work.price = Price(10.0, 20.0, "the test").discounted(0.5)
    work.server.settings(input_tokens=100, output_tokens=10)
    (request,) = work.requests(1)

    work.answer([request])

    ledger = Ledger(work.folder / "ledger")
    reply = ledger.get(request_key(request))
    ledger.close()
    assert isinstance(reply, Reply)
    assert reply.cost_usd == pytest.approx((100 * 5 + 10 * 10) / 1e6)
