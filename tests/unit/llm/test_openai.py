"""The plug-in openai against a server in a process of its own: no answer is made up in here."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from loopback import Server, joined, score_of
from loopback.cases import FAULTS, KEY, MESSAGES, SCHEMA, TEXTS, asked, complete, fault_of

from alpaqual.contracts import BatchState
from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.llm.openai import Plugin
from alpaqual.store.ledger import request_key
from alpaqual.values import Endpoint, Reply, Request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running.restore(record=True)
    return running


@pytest.fixture
def keyed(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server wants a key, and the environment has it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.settings(key=KEY)
    return server


def plugin(server: Server, **more: Any) -> Plugin:
    return Plugin(Endpoint("openai", "m", base_url=server.openai, **{"timeout": 5.0, **more}))


def body(server: Server, request: Request) -> dict[str, Any]:
    """What the server gets to read."""
    complete(plugin(server), request)
    return dict(server.stats()["bodies"][-1])


def test_a_reply_has_text_model_and_tokens(server: Server) -> None:
    server.settings(answers_as="m-2026-05-01", input_tokens=123, output_tokens=7)

    (reply,) = complete(plugin(server), Request("openai/m", MESSAGES))

    assert reply == Reply(
        f"{score_of(joined(MESSAGES)):g}\nBecause that is what this row deserves.", "openai/m-2026-05-01", 123, 7
    )


def test_without_usage_tokens_are_unknown(server: Server) -> None:
    server.settings(usage=False)

    (reply,) = complete(plugin(server), asked())

    assert isinstance(reply, Reply)
    assert (reply.input_tokens, reply.output_tokens) == (None, None)


@pytest.mark.parametrize(("kind", "expected", "reason"), FAULTS, ids=lambda value: str(value))
def test_faults_have_their_kind_and_reason(server: Server, kind: str, expected: FaultKind, reason: str) -> None:
    server.settings(all=kind)

    fault = fault_of(plugin(server, timeout=0.3))

    assert (fault.kind, fault.reason) == (expected, reason), fault.detail


def test_an_overloaded_server(server: Server) -> None:
    server.settings(all="overloaded")

    fault = fault_of(plugin(server))

    assert (fault.kind, fault.reason) == (FaultKind.TRANSIENT, "server error 503")


@pytest.mark.parametrize(("kind", "text"), TEXTS)
def test_a_reply_without_a_score_is_a_reply(server: Server, kind: str, text: str) -> None:
    server.settings(all=kind)

    (reply,) = complete(plugin(server), asked())

    assert isinstance(reply, Reply)
    assert reply.text == text


@pytest.mark.parametrize(("form", "low", "high"), [("seconds", 7, 7), ("ms", 7, 7), ("date", 5, 7)])
def test_the_pause_that_a_server_asks_for(server: Server, form: str, low: float, high: float) -> None:
    server.settings(all="throttle", retry_after=7, retry_after_as=form)

    pause = fault_of(plugin(server)).retry_after

    assert pause is not None
    assert low <= pause <= high


@pytest.mark.parametrize("said", ["inf", "nan", "soon", "-3"])
def test_a_pause_that_is_none(server: Server, said: str) -> None:
    server.settings(all="throttle", retry_after_as=f"said: {said}")

    assert fault_of(plugin(server)).retry_after in (None, 0.0)


def test_no_pause_where_none_is_asked_for(server: Server) -> None:
    server.settings(all="throttle_bare")

    assert fault_of(plugin(server)).retry_after is None


def test_a_server_that_hangs_ends_in_time(server: Server) -> None:
    server.settings(all="hang")
    began = time.monotonic()

    fault = fault_of(plugin(server, timeout=0.4))

    assert (fault.kind, fault.reason) == (FaultKind.TRANSIENT, "timeout")
    assert 0.35 < time.monotonic() - began < 2
    assert "0.4 s" in fault.detail


def test_no_server_listens(server: Server) -> None:
    nowhere = Plugin(Endpoint("openai", "m", base_url="http://127.0.0.1:9/v1", timeout=2))

    fault = fault_of(nowhere)

    assert (fault.kind, fault.reason) == (FaultKind.TRANSIENT, "no connection")
    assert "127.0.0.1:9" in fault.detail


def test_a_text_that_no_line_can_carry(server: Server) -> None:
    broken, fine = complete(plugin(server), asked("half \ud800"), asked("row"))

    assert isinstance(broken, Fault)
    assert broken.kind is FaultKind.REQUEST
    assert isinstance(fine, Reply)


def test_nothing_is_sent_twice_on_its_own(server: Server) -> None:
    server.settings(all="error")

    fault_of(plugin(server))

    assert server.stats()["requests"] == 1


def test_without_a_key_there_is_no_plug_in(server: Server) -> None:
    with pytest.raises(MachineError, match=r"export OPENAI_API_KEY"):
        Plugin(Endpoint("openai", "m"))


@pytest.mark.parametrize("key", ["sk-one sk-two", "sk-…", "sk-\x07"])
def test_a_key_that_can_be_none_is_not_quoted(server: Server, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)

    with pytest.raises(MachineError, match=r"OPENAI_API_KEY holds characters") as raised:
        plugin(server)

    assert "sk-" not in str(raised.value)


def test_the_key_comes_from_the_environment(keyed: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")

    assert isinstance(complete(plugin(keyed), asked())[0], Reply)


def test_the_environment_does_not_choose_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    opened = Plugin(Endpoint("openai", "m"))

    assert str(opened.client.base_url).startswith("https://api.openai.com")
    asyncio.run(opened.close())


def test_a_wrong_key_costs_no_row(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.settings(key="another")

    assert fault_of(plugin(server)).kind is FaultKind.FATAL


def test_no_fault_quotes_the_key(keyed: Server) -> None:
    keyed.settings(key="another", echo_key=True)

    fault = fault_of(plugin(keyed))

    assert "Incorrect API key" in fault.detail
    assert KEY not in f"{fault} {fault.detail} {fault.reason} {fault!r}"


def test_closing_leaves_nothing_open(server: Server) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        complete(plugin(server), asked(), asked())
        gc.collect()


# Batches


def pairs_of(count: int, **parameters: Any) -> list[tuple[str, Request]]:
    requests = [Request("openai/m", (("user", f"row {at:03d} ü\u2028"),), parameters) for at in range(count)]
    return [(request_key(request), request) for request in requests]


async def batch_results(opened: Plugin, batch: str) -> dict[str, Reply | Fault]:
    return {key: outcome async for key, outcome in opened.results(batch)}


def test_a_batch_from_beginning_to_end(keyed: Server) -> None:
    keyed.settings(batch_seconds=0.3)
    pairs = pairs_of(20, temperature=0.0, max_tokens=9)

    async def work() -> tuple[BatchState, BatchState, dict[str, Reply | Fault]]:
        opened = plugin(keyed)
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
        assert reply.model == "openai/m"
    assert keyed.stats()["bodies"][0] == plugin_words(keyed, pairs[0][1])


def plugin_words(server: Server, request: Request) -> dict[str, Any]:
    """The same body as a single request has."""
    return body(server, request)


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
        ("not_found", FaultKind.FATAL, "the model or the address does not exist"),
    ],
)
def test_what_goes_wrong_in_a_batch(server: Server, kind: str, expected: FaultKind, reason: str) -> None:
    server.settings(rows={"row 001": kind})
    pairs = pairs_of(3)

    async def work() -> dict[str, Reply | Fault]:
        opened = plugin(server)
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


def test_a_batch_that_the_provider_does_not_have(server: Server) -> None:
    async def work() -> tuple[Fault, Fault]:
        opened = plugin(server)
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
def test_results_that_break_off(server: Server, kind: str) -> None:
    server.settings(paths={"GET /v1/files/*": [kind, 1]})
    pairs = pairs_of(50)

    async def work() -> tuple[Fault, dict[str, Reply | Fault]]:
        opened = plugin(server)
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


def test_no_more_than_a_batch_may_hold(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpaqual.llm.openai._BATCH_BYTES", 500)

    async def work() -> Fault:
        opened = plugin(server)
        try:
            with pytest.raises(Fault) as refused:
                await opened.submit("label", pairs_of(10))
            return refused.value
        finally:
            await opened.close()

    assert asyncio.run(work()).kind is FaultKind.REFUSED
    assert server.stats()["requests"] == 0


def test_the_body_of_a_request(server: Server) -> None:
    request = Request("openai/m", MESSAGES, {"temperature": 0.0, "max_tokens": 9, "schema": SCHEMA})

    assert body(server, request) == {
        "model": "m",
        "messages": [{"role": role, "content": text} for role, text in MESSAGES],
        "temperature": 0.0,
        "max_tokens": 9,
        "response_format": {"type": "json_schema", "json_schema": {"name": "score", "strict": True, "schema": SCHEMA}},
    }


def test_the_reply_to_a_schema_is_json(server: Server) -> None:
    (reply,) = complete(plugin(server), asked(schema=SCHEMA))

    assert isinstance(reply, Reply)
    assert reply.text == f'{{"score": {score_of("row 1")}}}'


def test_what_is_not_set_is_not_sent(server: Server) -> None:
    assert body(server, asked(temperature=None, max_tokens=None)).keys() == {"model", "messages"}


def test_openai_itself_knows_the_new_name_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    opened = Plugin(Endpoint("openai", "m"))

    words = opened.body(asked(max_tokens=9))
    asyncio.run(opened.close())

    assert words["max_completion_tokens"] == 9
    assert "max_tokens" not in words


def test_a_batch_is_found_by_its_label(server: Server) -> None:
    async def work() -> tuple[list[str], list[str | None]]:
        first, again = plugin(server), plugin(server)
        try:
            # More than fit on a page of the list.
            sent = [await first.submit(f"label {at}", pairs_of(1)) for at in range(105)]
            return [sent[0], sent[104]], [await again.find(f"label {at}") for at in (0, 104, 105)]
        finally:
            await first.close()
            await again.close()

    sent, found = asyncio.run(work())

    assert found == [*sent, None]


@pytest.mark.parametrize(
    ("code", "expected"), [("invalid_json_line", FaultKind.REFUSED), ("token_limit_exceeded", FaultKind.REQUEST)]
)
def test_a_batch_that_failed(server: Server, code: str, expected: FaultKind) -> None:
    server.settings(batch_end="failed", batch_code=code, batch_error="line 3 is no JSON")

    async def work() -> Fault:
        opened = plugin(server)
        try:
            batch = await opened.submit("label", pairs_of(3))
            with pytest.raises(Fault) as failed:
                await opened.poll(batch)
            return failed.value
        finally:
            await opened.close()

    fault = asyncio.run(work())

    assert fault.kind is expected
    assert "line 3 is no JSON" in fault.detail
