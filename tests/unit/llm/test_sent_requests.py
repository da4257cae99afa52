"""What is sent: parameters and headers of a recipe, Azure's addresses, the Responses API, requests for log-probabilities."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from loopback import Server, score_of
from loopback.cases import KEY, SCHEMA, asked, complete, fault_of
from loopback.clouds import ANTHROPIC, OPENAI, batch_results

from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.values import Reply

pytestmark = pytest.mark.slow

LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
SAMPLING = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
)
RESPONSES = "This model is only supported in v1/responses and not in v1/chat/completions."
SCORES = ["0", "1", "2", "3", "4", "5", "6"]


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return ANTHROPIC.ready(OPENAI.ready(running, monkeypatch), monkeypatch)


def sent(server: Server) -> list[dict[str, Any]]:
    """The bodies since the server was restored."""
    return list(server.stats()["bodies"])


def head(server: Server) -> dict[str, str]:
    """The request line (under "") and the headers of the last request, in lower case."""
    first, *lines = server.stats()["headers"][-1].split("\r\n")
    return {"": first} | {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def test_parameters_are_sent_as_they_are(server: Server) -> None:
    given = {
        "reasoning_effort": "low",
        "top_p": 0.9,
        "extra_body": {"chat_template_kwargs": {"enable_thinking": False}},
    }

    body = OPENAI.body(server, asked(max_tokens=9, parameters=given))

    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "row 1"}],
        "max_tokens": 9,
        "reasoning_effort": "low",
        "top_p": 0.9,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_parameters_are_merged_with_what_is_set(server: Server) -> None:
    given = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "low"}}

    body = ANTHROPIC.body(server, asked(max_tokens=2016, schema=SCHEMA, parameters=given))

    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
    assert "temperature" not in body


@pytest.mark.parametrize("cloud", [OPENAI, ANTHROPIC], ids=lambda cloud: cloud.name)
def test_headers_are_sent_with_each_request(server: Server, cloud: Any) -> None:
    headers = (("X-Title", "grading"), ("anthropic-beta", "context-1m-2025-08-07"))

    complete(cloud.plugin(server, headers=headers), asked(temperature=0.0))

    found = head(server)
    assert (found["x-title"], found["anthropic-beta"]) == ("grading", "context-1m-2025-08-07")


def test_the_names_that_a_server_accepts_are_found_once(server: Server) -> None:
    server.settings(refuses={"max_tokens": LIMIT, "temperature": SAMPLING})
    opened = OPENAI.plugin(server)

    replies = complete(opened, *(asked(f"row {at}", max_tokens=9, temperature=0.0) for at in range(5)))

    assert all(isinstance(reply, Reply) for reply in replies)
    assert len(sent(server)) == 5 + 2
    assert all("max_completion_tokens" in body and "temperature" not in body for body in sent(server)[2:])
    assert opened.unsent == ("temperature",)


def test_anthropic_refuses_a_temperature(server: Server) -> None:
    server.settings(refuses={"temperature": "`temperature` is deprecated for this model."})
    opened = ANTHROPIC.plugin(server)

    replies = complete(opened, asked("row 1", temperature=0.0), asked("row 2", temperature=0.0))

    assert all(isinstance(reply, Reply) for reply in replies)
    assert [("temperature" in body) for body in sent(server)] == [True, False, False]


def test_a_gateway_of_anthropic_s_api_gets_the_key_in_either_header(server: Server) -> None:
    complete(ANTHROPIC.plugin(server), asked())

    found = head(server)
    assert found["x-api-key"] == found["authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_a_recipe_names_the_limit(server: Server, name: str) -> None:
    complete(OPENAI.plugin(server, token_limit=name), asked(max_tokens=9))

    assert sent(server)[-1] == {"model": "m", "messages": [{"role": "user", "content": "row 1"}], name: 9}


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("/openai/deployments/own?api-version=2024-10-21", "/openai/deployments/own/chat/completions"),
        ("/openai/deployments/own/chat/completions?api-version=2024-10-21", "/openai/deployments/own/chat/completions"),
        ("/openai?api-version=2024-10-21", "/openai/deployments/m/chat/completions"),
        ("?api-version=2024-10-21", "/openai/deployments/m/chat/completions"),
        ("/openai/responses?api-version=2024-10-21", "/openai/responses"),
        ("/openai/deployments/own/responses?api-version=2024-10-21", "/openai/responses"),
    ],
)
@pytest.mark.parametrize("variable", ["AZURE_OPENAI_API_KEY", "OPENAI_API_KEY"])
def test_azure_has_a_version_a_deployment_and_a_header_for_the_key(
    server: Server, monkeypatch: pytest.MonkeyPatch, place: str, path: str, variable: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv(variable, KEY)
    server.settings(key=KEY)

    (reply,) = complete(OPENAI.open(base_url=f"{server.url}{place}", timeout=5.0), asked())

    assert isinstance(reply, Reply), reply
    found = head(server)
    assert found[""] == f"POST {path}?api-version=2024-10-21 HTTP/1.1"
    assert found["api-key"] == KEY
    assert "authorization" not in found


def test_azure_s_later_addresses_are_those_of_openai(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)

    (reply,) = complete(OPENAI.open(base_url=f"{server.url}/openai/v1?api-version=preview", timeout=5.0), asked())

    assert isinstance(reply, Reply)
    assert head(server)[""] == "POST /openai/v1/chat/completions?api-version=preview HTTP/1.1"
    assert head(server)["authorization"] == f"Bearer {KEY}"


def test_a_query_is_kept_and_an_operation_is_not_doubled(server: Server) -> None:
    complete(OPENAI.open(base_url=f"{server.url}/v1/chat/completions?team=a&x=", timeout=5.0), asked())
    assert head(server)[""] == "POST /v1/chat/completions?team=a&x= HTTP/1.1"

    complete(ANTHROPIC.open(base_url=f"{server.url}/v1/messages?team=a", timeout=5.0), asked())
    assert head(server)[""] == "POST /v1/messages?team=a HTTP/1.1"


@pytest.mark.parametrize("cloud", [OPENAI, ANTHROPIC], ids=lambda cloud: cloud.name)
def test_a_proxy_of_the_environment_gets_the_requests(
    server: Server, monkeypatch: pytest.MonkeyPatch, cloud: Any
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "")

    (reply,) = complete(cloud.open(base_url="http://gateway.invalid", timeout=5.0), asked())

    assert isinstance(reply, Reply), reply
    assert head(server)["host"] == "gateway.invalid"


@pytest.mark.parametrize("path", ["/openai/v1", "/openai/deployments/d?api-version=2024-10-21"])
def test_azure_itself_needs_a_key(server: Server, path: str) -> None:
    with pytest.raises(MachineError, match="openai/m needs a key: export AZURE_OPENAI_API_KEY=…"):
        OPENAI.open(base_url=f"https://name.openai.azure.com{path}", timeout=5.0)


@pytest.mark.parametrize(
    ("cloud", "path", "advice"),
    [
        (OPENAI, "", "end base_url in /v1, as in http://127.0.0.1:PORT/v1"),
        (OPENAI, "/", "end base_url in /v1, as in http://127.0.0.1:PORT/v1"),
        (OPENAI, "/elsewhere", ""),
        (ANTHROPIC, "/v1", "leave /v1 out of base_url, as in http://127.0.0.1:PORT: it is added"),
        (ANTHROPIC, "/elsewhere", ""),
    ],
)
@pytest.mark.parametrize("said", ["", "Not Found"])
def test_an_address_that_does_not_exist_says_how_it_should_end(
    server: Server, cloud: Any, path: str, advice: str, said: str
) -> None:
    server.settings(kinds={"gone": {"status": 404, "body": {"detail": said}}}, all="gone")

    fault = fault_of(cloud.open(base_url=f"{server.url}{path}", timeout=5.0))

    address, *parts = fault.detail.removeprefix("http://").split(": ", 1)
    assert f"http://{address}" == f"{server.url}{path}".rstrip("/")
    assert "".join(parts).startswith(advice.replace("PORT", server.url.rpartition(":")[2]))
    assert ("base_url" in fault.detail) == bool(advice)
    assert fault.detail.strip(" :") == fault.detail


def test_a_wrong_key_of_azure_is_in_no_fault(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    server.settings(key="another", echo_key=True)

    fault = fault_of(OPENAI.open(base_url=f"{server.url}/openai/deployments/d?api-version=1", timeout=5.0))

    assert fault.kind is FaultKind.DENIED
    assert KEY not in f"{fault} {fault.detail}"


def test_a_model_that_has_only_the_responses_api(server: Server) -> None:
    server.settings(responses_only=RESPONSES, output_tokens=3)
    given = {"reasoning_effort": "low", "verbosity": "low", "extra_body": {"x": 1}}
    first = asked("row 1", max_tokens=9, temperature=0.0, schema=SCHEMA, parameters=given)

    one, two = complete(OPENAI.plugin(server), first, asked("row 2", max_tokens=9))

    assert one == Reply(f'{{"score": {score_of("row 1")}}}', "openai/m", 2, 3, None, "stop", 0)
    assert isinstance(two, Reply)
    _, body, later = sent(server)
    assert body == {
        "store": False,
        "model": "m",
        "input": [{"role": "user", "content": "row 1"}],
        "temperature": 0.0,
        "max_output_tokens": 9,
        "x": 1,
        "reasoning": {"effort": "low"},
        "text": {
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "score", "strict": True, "schema": SCHEMA},
        },
    }
    assert later.keys() == {"store", "model", "input", "max_output_tokens"}


def test_a_wrong_address_is_said_as_it_is(server: Server) -> None:
    opened = OPENAI.open(base_url=f"{server.url}/v2", timeout=5.0)

    *_, last = complete(opened, asked(), asked(), asked())

    assert isinstance(last, Fault)
    assert (last.kind, last.reason) == (FaultKind.DENIED, "the model or the address does not exist")
    # The Responses API was tried once.
    assert server.stats()["paths"] == {"POST /v2/chat/completions": 3, "POST /v2/responses": 1}


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({"status": "completed"}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
    ],
)
def test_why_a_response_ended(server: Server, end: dict[str, Any], reason: str) -> None:
    usage = {"input_tokens": 20, "output_tokens": 400, "output_tokens_details": {"reasoning_tokens": 384}}
    output = [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "4"}]}]
    body = {"object": "response", "model": "m", "error": None, "output": output, "usage": usage, **end}
    server.settings(kinds={"own": {"status": 200, "body": body}}, all="own")

    (reply,) = complete(OPENAI.open(base_url=f"{server.openai}/responses", timeout=5.0), asked())

    assert reply == Reply("4", "openai/m", 20, 400, None, reason, 384)


def test_a_response_that_a_filter_stopped_is_the_row_s(server: Server) -> None:
    body = {"model": "m", "output": [], "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    server.settings(kinds={"own": {"status": 200, "body": body}}, all="own")

    fault = fault_of(OPENAI.open(base_url=f"{server.openai}/responses", timeout=5.0))

    assert (fault.kind, fault.reason) == (FaultKind.REQUEST, "content filter")


@pytest.mark.parametrize("place", ["", "/responses"], ids=["completions", "responses"])
def test_an_expectation_from_log_probabilities(server: Server, place: str) -> None:
    server.settings(reply="4\nBecause.")

    (reply,) = complete(OPENAI.open(base_url=f"{server.openai}{place}", timeout=5.0), asked(choices=SCORES))

    assert isinstance(reply, Reply)
    probabilities = dict.fromkeys(SCORES, 0.0) | {"4": 0.75, "5": 0.25}
    assert json.loads(reply.text) == {"score": 4.25, "probabilities": probabilities}
    body = sent(server)[-1]
    assert body["top_logprobs"] == 20
    assert body.get("logprobs") is True or body["include"] == ["message.output_text.logprobs"]


def test_a_server_with_fewer_log_probabilities(server: Server) -> None:
    refusal = {"error": {"message": "top_logprobs must be less than or equal to 5", "code": 400}}
    server.settings(kinds={"fewer": {"status": 400, "body": refusal}}, rows={"row 1": ["fewer", 1]}, reply="2")

    one, two = complete(OPENAI.plugin(server), asked("row 1", choices=SCORES), asked("row 2", choices=SCORES))

    assert isinstance(one, Reply) and isinstance(two, Reply)
    assert [body["top_logprobs"] for body in sent(server)] == [20, 5, 5]


def test_a_server_without_log_probabilities_is_an_error_of_the_settings(server: Server) -> None:
    server.settings(logprobs=False)

    fault = fault_of(OPENAI.plugin(server), asked(choices=SCORES))

    assert (fault.kind, fault.reason) == (FaultKind.REFUSED, "the server gives no log-probabilities")
    assert "scoring: generation" in fault.detail


@pytest.mark.parametrize("cloud", [OPENAI, ANTHROPIC], ids=lambda cloud: cloud.name)
def test_a_batch_is_sent_again_in_the_form_that_is_accepted(server: Server, cloud: Any) -> None:
    server.settings(refuses={"temperature": SAMPLING})

    async def work() -> tuple[Fault, dict[str, Reply | Fault]]:
        opened = cloud.plugin(server)
        try:
            requests = cloud.pairs(3, temperature=0.0, max_tokens=9)
            with pytest.raises(Fault) as lost:
                await batch_results(opened, await opened.submit("label.1.3.a", requests))
            return lost.value, await batch_results(opened, await opened.submit("label.2.3.b", requests))
        finally:
            await opened.close()

    fault, found = asyncio.run(work())

    assert fault.kind is FaultKind.REQUEST
    assert len(found) == 3
    assert all(isinstance(outcome, Reply) for outcome in found.values())
