"""The plug-ins openai and anthropic against a server in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings

import pytest
from loopback import Server, joined, score_of
from loopback.cases import FAULTS, KEY, MESSAGES, TEXTS, asked, complete, fault_of
from loopback.clouds import ANTHROPIC, OPENAI, Cloud, batch_results

from alpaqual.contracts import BatchState
from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.values import Reply, Request

pytestmark = pytest.mark.slow


@pytest.fixture(params=[OPENAI, ANTHROPIC], ids=lambda cloud: cloud.name)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    found: Cloud = request.param
    return found


@pytest.fixture
def server(cloud: Cloud, running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    return cloud.ready(running, monkeypatch)


@pytest.fixture
def keyed(cloud: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server requires a key, and the environment has it."""
    monkeypatch.setenv(cloud.key, KEY)
    server.settings(key=KEY)
    return server


def test_a_reply_has_text_model_and_tokens(cloud: Cloud, server: Server) -> None:
    server.settings(answers_as="m-2026-05-01", input_tokens=123, output_tokens=7)

    (reply,) = complete(cloud.plugin(server), Request(f"{cloud.name}/m", MESSAGES))

    ended = {"openai": "stop", "anthropic": "end_turn"}[cloud.name]
    assert reply == Reply(
        f"{score_of(joined(MESSAGES)):g}\nBecause that is what this row deserves.",
        f"{cloud.name}/m-2026-05-01",
        123,
        7,
        finish_reason=ended,
    )


def test_without_usage_tokens_are_unknown(cloud: Cloud, server: Server) -> None:
    server.settings(usage=False)

    (reply,) = complete(cloud.plugin(server), asked())

    assert isinstance(reply, Reply)
    assert (reply.input_tokens, reply.output_tokens) == (None, None)


@pytest.mark.parametrize(("kind", "expected", "reason"), FAULTS, ids=lambda value: str(value))
def test_faults_have_their_kind_and_reason(
    cloud: Cloud, server: Server, kind: str, expected: FaultKind, reason: str
) -> None:
    server.settings(all=kind)

    fault = fault_of(cloud.plugin(server, timeout=1.0))

    assert (fault.kind, fault.reason) == (expected, reason), fault.detail


def test_an_overloaded_server(cloud: Cloud, server: Server) -> None:
    server.settings(all="overloaded")

    fault = fault_of(cloud.plugin(server))

    assert (fault.kind, fault.reason) == cloud.overloaded


@pytest.mark.parametrize(("kind", "text"), TEXTS)
def test_a_reply_without_a_score_is_a_reply(cloud: Cloud, server: Server, kind: str, text: str) -> None:
    server.settings(all=kind)

    (reply,) = complete(cloud.plugin(server), asked())

    assert isinstance(reply, Reply)
    assert reply.text == text


@pytest.mark.parametrize(("form", "low", "high"), [("seconds", 7, 7), ("ms", 7, 7), ("date", 5, 7)])
def test_the_pause_that_a_server_asks_for(cloud: Cloud, server: Server, form: str, low: float, high: float) -> None:
    server.settings(all="throttle", retry_after=7, retry_after_as=form)

    pause = fault_of(cloud.plugin(server)).retry_after

    assert pause is not None
    assert low <= pause <= high


@pytest.mark.parametrize("said", ["inf", "nan", "soon", "-3"])
def test_a_pause_that_is_none(cloud: Cloud, server: Server, said: str) -> None:
    server.settings(all="throttle", retry_after_as=f"said: {said}")

    assert fault_of(cloud.plugin(server)).retry_after in (None, 0.0)


def test_no_pause_where_none_is_asked_for(cloud: Cloud, server: Server) -> None:
    server.settings(all="throttle_bare")

    assert fault_of(cloud.plugin(server)).retry_after is None


def test_a_server_that_hangs_ends_in_time(cloud: Cloud, server: Server) -> None:
    server.settings(all="hang")
    began = time.monotonic()

    fault = fault_of(cloud.plugin(server, timeout=0.4))

    assert (fault.kind, fault.reason) == (FaultKind.TRANSIENT, "timeout")
    assert 0.35 < time.monotonic() - began < 2
    assert "0.4 s" in fault.detail


def test_no_server_listens(cloud: Cloud, server: Server) -> None:
    nowhere = cloud.open(base_url="http://127.0.0.1:9/v1", timeout=2)

    fault = fault_of(nowhere)

    assert (fault.kind, fault.reason) == (FaultKind.TRANSIENT, "no connection")
    assert "127.0.0.1:9" in fault.detail


def test_a_text_that_no_line_can_carry(cloud: Cloud, server: Server) -> None:
    broken, fine = complete(cloud.plugin(server), asked("half \ud800"), asked("row"))

    assert isinstance(broken, Fault)
    assert broken.kind is FaultKind.REQUEST
    assert isinstance(fine, Reply)


def test_nothing_is_sent_twice_on_its_own(cloud: Cloud, server: Server) -> None:
    server.settings(all="error")

    fault_of(cloud.plugin(server))

    assert server.stats()["requests"] == 1


def test_without_a_key_there_is_no_plug_in(cloud: Cloud, server: Server) -> None:
    with pytest.raises(MachineError, match=f"export {cloud.key}"):
        cloud.open()


@pytest.mark.parametrize("key", ["sk-one sk-two", "sk-…", "sk-\x07"])
def test_a_key_that_can_be_none_is_not_quoted(
    cloud: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(cloud.key, key)

    with pytest.raises(MachineError, match=f"{cloud.key} holds characters") as raised:
        cloud.plugin(server)

    assert "sk-" not in str(raised.value)


def test_the_key_comes_from_the_environment(cloud: Cloud, keyed: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cloud.key, f"{KEY}\n")

    assert isinstance(complete(cloud.plugin(keyed), asked())[0], Reply)


def test_the_environment_does_not_choose_the_address(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cloud.key, KEY)
    monkeypatch.setenv(cloud.address, "http://127.0.0.1:9")
    opened = cloud.open()

    assert str(opened.client.base_url).startswith(cloud.site)
    asyncio.run(opened.close())


def test_a_wrong_key_costs_no_row(cloud: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cloud.key, KEY)
    server.settings(key="another")

    assert fault_of(cloud.plugin(server)).kind is FaultKind.DENIED


def test_no_fault_quotes_the_key(cloud: Cloud, keyed: Server) -> None:
    keyed.settings(key="another", echo_key=True)

    fault = fault_of(cloud.plugin(keyed))

    assert "Incorrect API key" in fault.detail
    assert KEY not in f"{fault} {fault.detail} {fault.reason} {fault!r}"


def test_closing_leaves_nothing_open(cloud: Cloud, server: Server) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        complete(cloud.plugin(server), asked(), asked())
        gc.collect()


# Batches


def test_a_batch_from_beginning_to_end(cloud: Cloud, keyed: Server) -> None:
    keyed.settings(batch_seconds=0.3)
    pairs = cloud.pairs(20, temperature=0.0, max_tokens=9)

    async def work() -> tuple[BatchState, BatchState, dict[str, Reply | Fault]]:
        opened = cloud.plugin(keyed)
        try:
            batch = await opened.submit("some label", pairs)
            before = await opened.poll(batch)
            await asyncio.sleep(0.35)
            return before, await opened.poll(batch), await batch_results(opened, batch)
        finally:
            await opened.close()

    before, after, results = asyncio.run(work())

    assert before == BatchState(False, 0, 20)
    assert after == BatchState(True, 20, 20)
    assert results.keys() == dict(pairs).keys()
    for key, request in pairs:
        reply = results[key]
        assert isinstance(reply, Reply)
        assert reply.text.startswith(f"{score_of(joined(request.messages)):g}\n")
        assert reply.model == f"{cloud.name}/m"
    assert keyed.stats()["bodies"][0] == cloud.body(keyed, pairs[0][1])


@pytest.mark.parametrize(
    ("kind", "expected", "reason"),
    [
        ("expire", FaultKind.TRANSIENT, "expired in the batch"),
        ("cancel", FaultKind.TRANSIENT, "cancelled with the batch"),
        ("context_length", FaultKind.REQUEST, "refused by the server (400)"),
        ("unsupported", FaultKind.REFUSED, "refused by the server (400)"),
        ("error", FaultKind.TRANSIENT, "server error 500"),
        ("throttle", FaultKind.THROTTLED, "rate limit"),
        ("no_choice", FaultKind.TRANSIENT, "broken reply"),
        ("not_found", FaultKind.DENIED, "the model or the address does not exist"),
    ],
)
def test_what_goes_wrong_in_a_batch(cloud: Cloud, server: Server, kind: str, expected: FaultKind, reason: str) -> None:
    server.settings(rows={"row 001": kind})
    pairs = cloud.pairs(3)

    async def work() -> dict[str, Reply | Fault]:
        opened = cloud.plugin(server)
        try:
            return await batch_results(opened, await opened.submit("label", pairs))
        finally:
            await opened.close()

    results = asyncio.run(work())

    fault = results[pairs[1][0]]
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.reason) == (expected, reason)
    assert isinstance(results[pairs[0][0]], Reply)
    assert isinstance(results[pairs[2][0]], Reply)


def test_a_batch_that_the_provider_does_not_have(cloud: Cloud, server: Server) -> None:
    async def work() -> tuple[Fault, Fault]:
        opened = cloud.plugin(server)
        try:
            with pytest.raises(Fault) as polled:
                await opened.poll("no_such")
            with pytest.raises(Fault) as fetched:
                await batch_results(opened, "no_such")
            return polled.value, fetched.value
        finally:
            await opened.close()

    for fault in asyncio.run(work()):
        assert (fault.kind, fault.reason) == (FaultKind.REQUEST, "no such batch")


@pytest.mark.parametrize("kind", ["reset", "truncated"])
def test_results_that_break_off(cloud: Cloud, server: Server, kind: str) -> None:
    server.settings(paths={cloud.results: [kind, 1]})
    pairs = cloud.pairs(50)

    async def work() -> tuple[Fault, dict[str, Reply | Fault]]:
        opened = cloud.plugin(server)
        try:
            batch = await opened.submit("label", pairs)
            with pytest.raises(Fault) as broken:
                await batch_results(opened, batch)
            return broken.value, await batch_results(opened, batch)
        finally:
            await opened.close()

    fault, results = asyncio.run(work())

    assert fault.kind is FaultKind.TRANSIENT
    assert results.keys() == dict(pairs).keys()


def test_no_more_than_a_batch_may_hold(cloud: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"alpaqual.llm.{cloud.name}._BATCH_BYTES", 500)

    async def work() -> Fault:
        opened = cloud.plugin(server)
        try:
            with pytest.raises(Fault) as refused:
                await opened.submit("label", cloud.pairs(10))
            return refused.value
        finally:
            await opened.close()

    assert asyncio.run(work()).kind is FaultKind.REFUSED
    assert server.stats()["requests"] == 0
