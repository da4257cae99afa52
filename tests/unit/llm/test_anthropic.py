"""What only the plug-in anthropic does, against a server in a process of its own."""

from __future__ import annotations

import asyncio
import time

import pytest
from loopback import Server, score_of
from loopback.cases import MESSAGES, SCHEMA, asked, complete, fault_of
from loopback.clouds import ANTHROPIC

from alpaqual.errors import FaultKind
from alpaqual.llm._faults import keys_digest
from alpaqual.values import Reply, Request

pytestmark = pytest.mark.slow


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    return ANTHROPIC.ready(running, monkeypatch)


def label_of(pairs: list[tuple[str, Request]]) -> str:
    return f"alpaqual.test.{int(time.time())}.{len(pairs)}.{keys_digest([key for key, _ in pairs])[:16]}"


def test_the_body_of_a_request(server: Server) -> None:
    request = Request("anthropic/m", MESSAGES, {"temperature": 0.0, "max_tokens": 9, "schema": SCHEMA})

    assert ANTHROPIC.body(server, request) == {
        "model": "m",
        "system": "You rate.",
        "messages": [{"role": role, "content": text} for role, text in MESSAGES[1:]],
        "temperature": 0.0,
        "max_tokens": 9,
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }


def test_the_reply_to_a_schema_is_json(server: Server) -> None:
    (reply,) = complete(ANTHROPIC.plugin(server), asked(schema=SCHEMA))

    assert isinstance(reply, Reply)
    assert reply.text == f'{{"score": {score_of("row 1")}}}'


def test_what_is_not_set_is_not_sent_but_the_limit(server: Server) -> None:
    sent = ANTHROPIC.body(server, asked(temperature=None, max_tokens=None))

    assert sent.keys() == {"model", "messages", "max_tokens"}
    assert sent["max_tokens"] == 1024


@pytest.mark.parametrize(("temperature", "older"), [(0.0, True), (1.0, True), (None, False)])
def test_a_temperature_asks_for_the_version_that_takes_it(
    server: Server, temperature: float | None, older: bool
) -> None:
    (reply,) = complete(ANTHROPIC.plugin(server), asked(temperature=temperature))

    (head,) = server.stats()["headers"]
    assert isinstance(reply, Reply)
    assert ("anthropic-version: 2023-06-01" in head.lower()) is older
    assert head.lower().count("anthropic-version:") == 1


@pytest.mark.parametrize("seconds", [0.0, 60.0], ids=["ended", "running"])
def test_a_batch_is_found_by_time_number_and_keys(server: Server, seconds: float) -> None:
    server.forget()
    server.settings(batch_seconds=seconds)
    pairs, more = ANTHROPIC.pairs(6), ANTHROPIC.pairs(7)

    async def work() -> tuple[str, list[str | None]]:
        first, again = ANTHROPIC.plugin(server), ANTHROPIC.plugin(server)
        try:
            batch = await first.submit(label_of(pairs), pairs)
            await first.submit(label_of(more), more)
            found = [await again.find(label_of(pairs)), await first.find(label_of(pairs)), await again.find("no label")]
            return batch, found
        finally:
            await first.close()
            await again.close()

    batch, found = asyncio.run(work())

    assert found == [batch, None, None]


def test_an_ended_batch_with_other_keys_is_not_taken_for_it(server: Server) -> None:
    server.forget()
    pairs, others = ANTHROPIC.pairs(6), ANTHROPIC.pairs(12)[6:]

    async def work() -> str | None:
        first, again = ANTHROPIC.plugin(server), ANTHROPIC.plugin(server)
        try:
            await first.submit(label_of(others), others)
            return await again.find(label_of(pairs))
        finally:
            await first.close()
            await again.close()

    assert asyncio.run(work()) is None


def test_money_that_is_gone_is_not_the_rows_fault(server: Server) -> None:
    server.settings(all="invalid", words="Your credit balance is too low to access the Anthropic API")

    assert fault_of(ANTHROPIC.plugin(server)).kind is FaultKind.DENIED
