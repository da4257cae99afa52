"""A refusal that names a setting gives the request another form, once for all requests; the words are those of providers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._adapting import Adapting, Form
from alpaqual.llm._faults import fault_of_status
from alpaqual.values import Reply

OLD, NEW, OUTPUT = Form("max_tokens"), Form("max_completion_tokens"), Form("max_output_tokens")
PLAIN = replace(OLD, temperature=False)
RESPONSES = replace(OLD, responses=True)


def openai(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


def anthropic(message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def mistral(field: str) -> dict[str, Any]:
    where = {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted", "input": 16}
    return {"detail": [where]}


LEARNED: list[tuple[str, Form, int, Any, Form]] = [
    (
        "openai, the limit",
        OLD,
        400,
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "unsupported_parameter",
        ),
        NEW,
    ),
    ("an older server", NEW, 400, openai("Unrecognized request argument supplied: max_completion_tokens"), OLD),
    ("mistral, the limit", NEW, 422, mistral("max_completion_tokens"), OLD),
    ("groq, the limit", NEW, 400, openai("property 'max_completion_tokens' is unsupported"), OLD),
    (
        "gemini, the limit",
        NEW,
        400,
        [{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown name "max_completion_tokens": Cannot find field.', "status": "INVALID_ARGUMENT"}}],
        OLD,
    ),
    ("a gateway that names another", OLD, 400, openai("Please use max_output_tokens instead of max_tokens"), OUTPUT),
    ("a server that requires another", OLD, 422, openai("field max_output_tokens is required"), OUTPUT),
    ("a name that is none anywhere", OUTPUT, 400, openai("Unknown parameter: 'max_output_tokens'."), NEW),
    (
        "openai, the temperature",
        OLD,
        400,
        openai("Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.", "unsupported_value"),
        PLAIN,
    ),
    ("openai, the parameter", OLD, 400, openai("Unsupported parameter: 'temperature' is not supported with this model."), PLAIN),
    ("anthropic", OLD, 400, anthropic("`temperature` is deprecated for this model."), PLAIN),
    ("anthropic, later versions", OLD, 400, anthropic("temperature: Extra inputs are not permitted"), PLAIN),
    (
        "anthropic, thinking",
        OLD,
        400,
        anthropic("`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation"),
        PLAIN,
    ),
    ("anthropic, top_p", OLD, 400, anthropic("`temperature` and `top_p` cannot both be specified for this model."), PLAIN),
    *(
        (words, OLD, 400, openai(words), NEW)
        for words in (
            "max_tokens is not a supported parameter",
            "The parameter max_tokens is obsolete",
            "`max_tokens` has been removed",
            "max_tokens is no longer accepted",
            "Unrecognized field: max_tokens",
            "Extra fields not permitted: max_tokens",
            "This model only takes max_completion_tokens",
            "max_tokens was renamed to max_completion_tokens",
            "max_tokens is deprecated in favor of max_completion_tokens",
            "当前模型不支持 max_tokens 参数",
        )
    ),
    *(
        (words, OLD, 400, openai(words), PLAIN)
        for words in (
            "temperature must be 1 for this model",
            "temperature must be unset",
            "temperature cannot be changed for reasoning models",
            "Setting the temperature isn't allowed",
            "The temperature is not configurable",
            "temperature is disabled for this deployment",
        )
    ),
    ("the name beside the message", OLD, 400, {"error": {"message": "Unsupported parameter.", "param": "max_tokens"}}, NEW),
    ("moonshot", OLD, 400, openai("invalid temperature: only 1 is allowed for this model"), PLAIN),
    (
        "litellm",
        OLD,
        400,
        openai("litellm.UnsupportedParamsError: gpt-5 models (including gpt-5-codex) don't support temperature=0.0. Only temperature=1 is supported."),
        PLAIN,
    ),
    (
        "litellm, a list",
        OLD,
        400,
        openai("litellm.UnsupportedParamsError: openai does not support parameters: ['temperature'], for model=o1."),
        PLAIN,
    ),
    (
        "openai, responses only",
        OLD,
        404,
        openai("This model is only supported in v1/responses and not in v1/chat/completions."),
        RESPONSES,
    ),
    ("openai, completions", OLD, 404, openai("This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?"), RESPONSES),
    ("azure, responses only", OLD, 400, openai("The chatCompletion operation does not work with the specified model, gpt-5-codex. Please choose different model and try again.", "OperationNotSupported"), RESPONSES),
    ("a gateway, responses only", OLD, 400, openai("Unsupported model: send it to /responses."), RESPONSES),
    ("a path that is not there", OLD, 404, {"detail": "Not Found"}, RESPONSES),
    ("fewer logprobs", OLD, 400, openai("Invalid value for 'top_logprobs': must be less than or equal to 5."), replace(OLD, top_logprobs=5)),
    ("vllm, fewer logprobs", OLD, 400, openai("Requested sample logprobs of 20, which is greater than max allowed: 5. top_logprobs must be between 0 and 5"), replace(OLD, top_logprobs=5)),
]  # fmt: skip

NOT_LEARNED: list[tuple[str, int, Any]] = [
    ("a limit that is too large", 400, openai("max_tokens is too large: 100000. This model supports at most 4096 completion tokens")),
    ("a row that is too long", 400, openai("This model's maximum context length is 8192 tokens, however you requested 9000 tokens (8984 in your prompt; 16 for max_tokens). Please reduce your prompt.", "context_length_exceeded")),
    ("a range", 400, openai("temperature must be between 0 and 1")),
    ("a range of the limit", 400, openai("max_tokens must be at least 1")),
    ("another parameter", 400, openai("Unsupported parameter: 'top_p' is not supported with this model.")),
    ("a wrong value", 400, openai("Invalid value: 'tepid'. Supported values are: 'low', 'medium' and 'high'. Change reasoning_effort.")),
    ("two sentences of a row", 400, openai("Could not parse the message: The temperature rose. It was not supported by the beams.")),
    ("a word that contains the name", 400, openai("Unknown parameter: 'temperature_scale'")),
    ("a wrong key", 401, openai("Incorrect API key provided", "invalid_api_key")),
    ("a wrong model", 404, openai("The model `gpt-x` does not exist", "model_not_found")),
    ("a rate limit", 429, openai("Rate limit reached: max_tokens not supported", "rate_limit_exceeded")),
    ("a server error", 500, openai("temperature is not supported")),
    ("a content filter", 400, openai("The response was filtered: temperature unsupported", "content_filter")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "status", "body", "wanted"), [case[1:] for case in LEARNED], ids=[c[0] for c in LEARNED]
)
def test_a_refusal_says_the_form(form: Form, status: int, body: Any, wanted: Form) -> None:
    assert Adapting(form).following(form, fault_of_status(status, body, {})) == wanted


@pytest.mark.parametrize(("status", "body"), [case[1:] for case in NOT_LEARNED], ids=[case[0] for case in NOT_LEARNED])
def test_other_errors_change_nothing(status: int, body: Any) -> None:
    assert Adapting(OLD).following(OLD, fault_of_status(status, body, {})) is None


def refusing(*refused: str) -> Any:
    """A server that refuses fields, as OpenAI does; what it was asked is counted."""
    asked: Counter[str] = Counter()

    async def attempt(form: Form) -> Reply:
        sent = [form.limit, *(["temperature"] if form.temperature else [])]
        asked[" ".join(sent)] += 1
        await asyncio.sleep(0.001)
        for name in sent:
            if name in refused:
                raise fault_of_status(400, openai(f"Unsupported parameter: '{name}' is not supported."), {})
        return Reply("4", "openai/m")

    attempt.asked = asked  # type: ignore[attr-defined]
    return attempt


def send(adapting: Adapting, attempt: Any, count: int) -> list[Any]:
    async def work() -> list[Any]:
        return await asyncio.gather(*(adapting.send(attempt) for _ in range(count)), return_exceptions=True)

    return asyncio.run(work())


def test_a_form_is_found_once_by_all_requests_in_flight() -> None:
    adapting, attempt = Adapting(OLD), refusing("max_tokens", "temperature")
    assert all(isinstance(reply, Reply) for reply in send(adapting, attempt, 300))
    # The 300 first attempts, and two more to find the form.
    assert attempt.asked == {
        "max_tokens temperature": 300,
        "max_completion_tokens temperature": 1,
        "max_completion_tokens": 300,
    }
    assert (adapting.form, adapting.unsent) == (replace(NEW, temperature=False), ("temperature",))
    assert all(isinstance(reply, Reply) for reply in send(adapting, attempt, 50))
    assert attempt.asked["max_completion_tokens"] == 350


def test_a_server_that_refuses_every_name_is_asked_once_for_each() -> None:
    adapting, attempt = Adapting(OLD), refusing("max_tokens", "max_completion_tokens")
    first, *others = send(adapting, attempt, 1) + send(adapting, attempt, 4)
    assert "'max_tokens'" in first.detail
    assert all("'max_tokens'" in fault.detail for fault in others)
    assert attempt.asked["max_completion_tokens temperature"] == 1


def test_a_refusal_that_another_form_does_not_change_is_tried_once() -> None:
    asked: list[Form] = []

    async def attempt(form: Form) -> Reply:
        asked.append(form)
        raise fault_of_status(400, openai("The temperature of this text is unsupported"), {})

    faults = send(Adapting(OLD), attempt, 5)
    assert all(fault.kind is FaultKind.REFUSED for fault in faults)
    assert (len(asked), asked.count(PLAIN)) == (6, 1)


def test_the_limit_that_a_recipe_names_is_kept() -> None:
    adapting, attempt = Adapting(OLD, fixed=True), refusing("max_tokens")
    (fault,) = send(adapting, attempt, 1)
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.REFUSED
    assert attempt.asked.total() == 1


def test_what_is_wrong_with_the_other_form_is_said() -> None:
    async def attempt(form: Form) -> Reply:
        if form.limit == "max_tokens":
            raise fault_of_status(400, openai("'max_tokens' is not supported. Use 'max_completion_tokens'"), {})
        raise fault_of_status(400, openai("Invalid value: 'tepid'. Supported are 'low' and 'high'"), {})

    for fault in send(Adapting(OLD), attempt, 3):
        assert "tepid" in fault.detail


def test_a_rate_limit_while_a_form_is_found_is_one() -> None:
    async def attempt(form: Form) -> Reply:
        if form.limit == "max_tokens":
            raise fault_of_status(400, openai("'max_tokens' is not supported. Use 'max_completion_tokens'"), {})
        raise fault_of_status(429, openai("slow down"), {"retry-after": "2"})

    adapting = Adapting(OLD)
    (fault,) = send(adapting, attempt, 1)
    assert (fault.kind, fault.retry_after, adapting.form) == (FaultKind.THROTTLED, 2.0, OLD)


def batch(adapting: Adapting, *outcomes: Reply | Fault) -> list[Reply | Fault]:
    async def given() -> AsyncIterator[tuple[str, Reply | Fault]]:
        for number, outcome in enumerate(outcomes):
            yield str(number), outcome

    async def work() -> list[Reply | Fault]:
        return [outcome async for _, outcome in adapting.results(given())]

    return asyncio.run(work())


def test_a_batch_that_was_refused_as_a_whole_is_sent_again_in_another_form() -> None:
    adapting = Adapting(OLD)
    refusal = fault_of_status(400, openai("'temperature' is not supported with this model"), {})
    with pytest.raises(Fault) as lost:
        batch(adapting, refusal, refusal, refusal)
    assert (lost.value.kind, adapting.unsent) == (FaultKind.REQUEST, ("temperature",))


def test_a_batch_with_another_outcome_keeps_its_outcomes() -> None:
    adapting = Adapting(OLD)
    refusal = fault_of_status(400, openai("'temperature' is not supported with this model"), {})
    reply = Reply("4", "openai/m")
    assert batch(adapting, refusal, reply, refusal) == [refusal, reply, refusal]
    assert batch(adapting) == []
    assert adapting.form == OLD
