"""What only the plug-in openai does, against a server in a process of its own."""

from __future__ import annotations

import asyncio

import pytest
from loopback import Server, score_of
from loopback.cases import KEY, MESSAGES, SCHEMA, asked, complete, fault_of
from loopback.clouds import OPENAI

from alpaqual.errors import Fault, FaultKind
from alpaqual.values import Reply, Request

pytestmark = pytest.mark.slow


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    return OPENAI.ready(running, monkeypatch)


def test_the_body_of_a_request(server: Server) -> None:
    request = Request("openai/m", MESSAGES, {"temperature": 0.0, "max_tokens": 9, "schema": SCHEMA})

    assert OPENAI.body(server, request) == {
        "model": "m",
        "messages": [{"role": role, "content": text} for role, text in MESSAGES],
        "temperature": 0.0,
        "max_tokens": 9,
        "response_format": {"type": "json_schema", "json_schema": {"name": "score", "strict": True, "schema": SCHEMA}},
    }


def test_the_reply_to_a_schema_is_json(server: Server) -> None:
    (reply,) = complete(OPENAI.plugin(server), asked(schema=SCHEMA))

    assert isinstance(reply, Reply)
    assert reply.text == f'{{"score": {score_of("row 1")}}}'


def test_what_is_not_set_is_not_sent(server: Server) -> None:
    assert OPENAI.body(server, asked(temperature=None, max_tokens=None)).keys() == {"model", "messages"}


def test_openai_itself_knows_the_new_name_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    opened = OPENAI.open()

    words = opened.body(asked(max_tokens=9))
    asyncio.run(opened.close())

    assert words["max_completion_tokens"] == 9
    assert "max_tokens" not in words


def test_a_quota_that_is_used_up_ends_it(server: Server) -> None:
    server.settings(all="quota")

    fault = fault_of(OPENAI.plugin(server))

    assert (fault.kind, fault.reason) == (FaultKind.FATAL, "no money is left with the provider")


def test_a_rate_limit_with_words_about_billing_is_one(server: Server) -> None:
    server.settings(all="throttle", words="Rate limit reached. See the billing page to raise your credit balance")

    assert fault_of(OPENAI.plugin(server)).kind is FaultKind.THROTTLED


def test_a_batch_is_found_by_its_label(server: Server) -> None:
    async def work() -> tuple[list[str], list[str | None]]:
        first, again = OPENAI.plugin(server), OPENAI.plugin(server)
        try:
            # More than fit on a page of the list.
            sent = [await first.submit(f"label {at}", OPENAI.pairs(1)) for at in range(105)]
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
        opened = OPENAI.plugin(server)
        try:
            batch = await opened.submit("label", OPENAI.pairs(3))
            with pytest.raises(Fault) as failed:
                await opened.poll(batch)
            return failed.value
        finally:
            await opened.close()

    fault = asyncio.run(work())

    assert fault.kind is expected
    assert "line 3 is no JSON" in fault.detail
