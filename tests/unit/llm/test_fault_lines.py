"""What an error means, with the forms in which providers, gateways and servers of one's own write it."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._fault_lines import KEY_REFUSED, LINES, NO_MONEY, NOT_FOUND, line_of
from alpaqual.llm._faults import codes_of, fault_in_reply, fault_of_status, message_of
from alpaqual.llm._pauses import pause_of, seconds_of
from alpaqual.registry import find
from alpaqual.values import Endpoint, Reply

REQUEST, REFUSED, DENIED = FaultKind.REQUEST, FaultKind.REFUSED, FaultKind.DENIED
FATAL, THROTTLED, TRANSIENT = FaultKind.FATAL, FaultKind.THROTTLED, FaultKind.TRANSIENT


def openai(message: str, code: Any = None, kind: Any = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def anthropic(message: str, kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def gemini(code: int, status: str, message: str, *details: Any) -> list[Any]:
    return [{"error": {"code": code, "message": message, "status": status, "details": list(details)}}]


def mistral(message: Any, kind: str, code: Any = None) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def openrouter(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": metadata}, "user_id": "user_1"}


FORMS: list[tuple[str, int, Any, FaultKind]] = [
    # OpenAI
    ("openai key", 401, openai("Incorrect API key provided: sk-a…", "invalid_api_key"), DENIED),
    ("openai region", 403, openai("Country not supported", "unsupported_country_region_territory"), DENIED),
    ("openai model", 404, openai("The model `gpt-x` does not exist", "model_not_found"), DENIED),
    ("openai quota", 429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), FATAL),
    ("openai rate", 429, openai("Rate limit reached for gpt-x", "rate_limit_exceeded", "tokens"), THROTTLED),
    (
        "openai rate with words about billing",
        429,
        openai("Rate limit reached; to raise it, visit the billing page or check your credit balance", "rate_limit_exceeded"),
        THROTTLED,
    ),
    ("openai too many tokens", 429, openai("Request too large for gpt-x on tokens per min", "rate_limit_exceeded"), REQUEST),
    ("openai hard limit", 400, openai("Billing hard limit has been reached", "billing_hard_limit_reached"), DENIED),
    ("openai context", 400, openai("maximum context length is 8192 tokens", "context_length_exceeded"), REQUEST),
    ("openai long string", 400, openai("string too long", "string_above_max_length"), REQUEST),
    ("openai policy", 400, openai("Invalid prompt: your prompt was flagged", "invalid_prompt"), REQUEST),
    ("openai parameter", 400, openai("Unsupported value: 'temperature'", "unsupported_value"), REFUSED),
    ("openai max_tokens", 400, openai("max_tokens is too large: 100000. This model supports 16384"), REFUSED),
    ("openai server", 500, openai("The server had an error", None, "server_error"), TRANSIENT),
    ("openai slow down", 503, openai("Slow down", None, "service_unavailable"), TRANSIENT),
    # Azure
    ("azure key", 401, {"statusCode": 401, "message": "Access denied due to invalid subscription key"}, DENIED),
    ("azure deployment", 404, openai("The API deployment does not exist", "DeploymentNotFound"), DENIED),
    (
        "azure filter",
        400,
        openai(
            "The response was filtered due to the prompt triggering the content management policy",
            "content_filter",
            None,
            status=400,
            innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
        ),
        REQUEST,
    ),
    (
        "azure filter, only inside",
        400,
        openai("Filtered", "400", None, innererror={"code": "ResponsibleAIPolicyViolation"}),
        REQUEST,
    ),
    ("azure rate", 429, openai("exceeded call rate limit. Please retry after 26 seconds.", "429"), THROTTLED),
    # Anthropic
    ("anthropic key", 401, anthropic("invalid x-api-key", "authentication_error"), DENIED),
    ("anthropic permission", 403, anthropic("Your key may not use this", "permission_error"), DENIED),
    ("anthropic model", 404, anthropic("model: claude-x", "not_found_error"), DENIED),
    ("anthropic credit", 400, anthropic("Your credit balance is too low to access the API", "invalid_request_error"), DENIED),
    ("anthropic limit", 400, anthropic("You have reached your specified API usage limits.", "invalid_request_error"), DENIED),
    ("anthropic billing", 402, anthropic("Payment", "billing_error"), FATAL),
    ("anthropic long", 400, anthropic("prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error"), REQUEST),
    ("anthropic large", 413, anthropic("Request exceeds the maximum size", "request_too_large"), REQUEST),
    ("anthropic filter", 400, anthropic("Output blocked by content filtering policy", "invalid_request_error"), REQUEST),
    ("anthropic max_tokens", 400, anthropic("max_tokens: 90000 > 8192, which is the maximum allowed number of output tokens", "invalid_request_error"), REFUSED),
    ("anthropic rate", 429, anthropic("would exceed your organization's rate limit", "rate_limit_error"), THROTTLED),
    ("anthropic overloaded", 529, anthropic("Overloaded", "overloaded_error"), THROTTLED),
    ("a proxy's limit of size", 413, "<html>413 Request Entity Too Large</html>", REQUEST),
    # Gemini's OpenAI API
    ("gemini key", 400, gemini(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", {"reason": "API_KEY_INVALID"}), DENIED),
    ("gemini key, by its reason", 400, gemini(400, "INVALID_ARGUMENT", "Bad", {"reason": "API_KEY_INVALID"}), DENIED),
    ("gemini place", 400, gemini(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), DENIED),
    ("gemini permission", 403, gemini(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers"), DENIED),
    ("gemini model", 404, gemini(404, "NOT_FOUND", "models/x is not found for API version v1main"), DENIED),
    ("gemini rate", 429, gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details"), THROTTLED),
    ("gemini long", 400, gemini(400, "INVALID_ARGUMENT", "The input token count (2000000) exceeds the maximum number of tokens allowed"), REQUEST),
    ("gemini busy", 503, gemini(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), TRANSIENT),
    ("gemini key through a proxy", 400, {"error": {"message": json.dumps(gemini(400, "INVALID_ARGUMENT", "Bad", {"reason": "API_KEY_INVALID"})[0]), "code": 400}}, DENIED),
    # OpenRouter
    ("openrouter key", 401, openrouter(401, "No auth credentials found"), DENIED),
    ("openrouter credits", 402, openrouter(402, "Insufficient credits. Add more"), FATAL),
    ("openrouter key limit", 403, openrouter(403, "Key limit exceeded (total limit)"), DENIED),
    ("openrouter flagged", 403, openrouter(403, "Your chosen model requires moderation and your input was flagged", reasons=["violence"]), REQUEST),
    ("openrouter model", 404, openrouter(404, "No endpoints found for x/y."), DENIED),
    ("openrouter rate", 429, openrouter(429, "Rate limit exceeded: free-models-per-min. Add 10 credits to unlock more"), THROTTLED),
    ("openrouter upstream", 502, openrouter(502, "Provider returned error", raw="upstream"), TRANSIENT),
    # LiteLLM's proxy
    ("litellm budget", 400, openai("Budget has been exceeded! Current cost: 26.0, Max budget: 0.25", "400", "budget_exceeded"), DENIED),
    ("litellm end user", 400, openai("ExceededBudget: End User=x over budget. Spend=0.0008, Budget=0.0001", "400", "budget_exceeded"), DENIED),
    ("litellm key", 400, openai("No connected db.", "400", "no_db_connection"), DENIED),
    ("litellm key with a db", 401, openai("Authentication Error, Invalid proxy server token passed.", "401", "token_not_found_in_db"), DENIED),
    ("litellm model", 400, openai("Invalid model name passed in model=x. Call `/v1/models`", "400", None), DENIED),
    ("litellm context", 400, openai("litellm.ContextWindowExceededError: litellm.BadRequestError", "400", None), REQUEST),
    ("litellm policy", 400, openai("litellm.BadRequestError: litellm.ContentPolicyViolationError: Filtered", "400", None), REQUEST),
    ("litellm upstream money", 400, openai("litellm.BadRequestError: DeepseekException - Insufficient Balance", "400", None), DENIED),
    ("litellm upstream quota", 429, openai("litellm.RateLimitError: {'code': 'insufficient_quota'}", "429", "throttling_error"), FATAL),
    ("litellm deployment budget", 429, openai("No deployments available - crossed budget: Exceeded budget for deployment model_name: paid: 0.33 >= 1d", "429", "internal_server_error"), THROTTLED),
    ("litellm backend", 500, openai("litellm.InternalServerError: InternalServerError: OpenAIException - Connection error.", "500", "internal_server_error"), TRANSIENT),
    ("litellm loading", 503, openai("litellm.ServiceUnavailableError: OpenAIException - Loading model", "503", None), TRANSIENT),
    ("litellm cooldown", 429, openai("No deployments available for selected model, Try again in 5 seconds.", "429", None), THROTTLED),
    # vLLM
    ("vllm context", 400, mistral("This model's maximum context length is 4096 tokens", "BadRequestError", 400), REQUEST),
    ("vllm model", 404, mistral("The model `x` does not exist.", "NotFoundError", 404), DENIED),
    ("vllm key", 401, {"error": "Unauthorized"}, DENIED),
    ("vllm settings", 400, mistral("temperature must be non-negative", "BadRequestError", 400), REFUSED),
    ("vllm fields", 422, {"detail": [{"loc": ["body", "top_k"], "msg": "Input should be a valid integer"}]}, REFUSED),
    # llama.cpp
    ("llama.cpp context", 400, {"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error", "n_ctx": 256}}, REQUEST),
    ("llama.cpp context before", 500, {"error": {"code": 500, "message": "the request exceeds the available context size", "type": "exceed_context_size_error"}}, REQUEST),
    ("llama.cpp loading", 503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, TRANSIENT),
    ("llama.cpp key", 401, {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}, DENIED),
    # Ollama
    ("ollama model", 404, {"error": {"message": 'model "x" not found, try pulling it first', "type": "not_found_error"}}, DENIED),
    ("ollama model, plain", 404, {"error": "model 'x' not found"}, DENIED),
    ("ollama busy", 503, {"error": "server busy, please try again. maximum pending requests exceeded"}, TRANSIENT),
    # DeepSeek
    ("deepseek risk", 400, openai("Content Exists Risk", "invalid_request_error"), REQUEST),
    ("deepseek money", 402, openai("Insufficient Balance", "invalid_request_error", "unknown_error"), FATAL),
    ("deepseek key", 401, openai("Authentication Fails (no such user)", "invalid_request_error", "authentication_error"), DENIED),
    # DashScope
    ("dashscope risk", 400, openai("Input data may contain inappropriate content.", "data_inspection_failed", "data_inspection_failed"), REQUEST),
    ("dashscope risk inside", 500, openai("<400> InternalError.Algo.DataInspectionFailed: Input text", "internal_error"), REQUEST),
    ("dashscope arrears", 400, openai("Access denied, please make sure your account is in good standing.", "Arrearage", "Arrearage"), DENIED),
    ("dashscope key", 401, {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "1"}, DENIED),
    ("dashscope long", 400, openai("Range of input length should be [1, 30720]", "invalid_parameter_error"), REQUEST),
    ("dashscope rate", 429, openai("Allocated quota exceeded, please increase your quota limit.", "insufficient_quota", "insufficient_quota"), THROTTLED),
    # Mistral
    ("mistral key", 401, {"message": "Unauthorized", "request_id": "1"}, DENIED),
    ("mistral key, plain", 401, {"detail": "Unauthorized"}, DENIED),
    ("mistral rate", 429, mistral("Service tier capacity exceeded for this model.", "invalid_request_error"), THROTTLED),
    ("mistral long", 400, mistral("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", "invalid_request_prompt", "3051"), REQUEST),
    ("mistral field", 422, mistral({"detail": [{"type": "extra_forbidden", "msg": "Extra inputs are not permitted"}]}, "invalid_request_error"), REFUSED),
    # Proxies
    ("a page", 502, "<html><h1>Bad Gateway</h1></html>", TRANSIENT),
    ("a page without permission", 403, "<html>Forbidden</html>", DENIED),
    ("no body", 401, None, DENIED),
    ("a timeout", 408, "", TRANSIENT),
    ("anything else", 418, {"error": {"message": "I am a teapot"}}, REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_an_error_belongs_to_a_row_the_settings_the_provider_or_time(status: int, body: Any, kind: FaultKind) -> None:
    for shown in [body] if not isinstance(body, dict) else [body, body.get("error", body)]:
        # The openai package passes on the inner object, the anthropic package the whole.
        fault = fault_of_status(status, shown, {})
        assert fault.kind is kind, fault
        assert "\n" not in fault.detail


def test_every_line_of_the_table_has_a_form() -> None:
    used = {id(line_of(status, codes_of(body), message_of(body).lower())) for _, status, body, _ in FORMS}
    used |= {id(line_of(0, codes_of(body), message_of(body).lower())) for body, _, _ in IN_REPLIES}
    unused = [line for line in LINES if id(line) not in used]
    assert not unused


@pytest.mark.parametrize("words", ["budget_exceeded", "Your credit balance is too low", "API key not valid"])
def test_a_row_that_quotes_an_error_stops_nothing_by_itself(words: str) -> None:
    assert fault_of_status(400, openai(f"cannot parse the text '{words}'"), {}).kind in (DENIED, REFUSED)


IN_REPLIES: list[tuple[Any, FaultKind, str]] = [
    ({"error": {"code": 502, "message": "Provider returned error"}}, TRANSIENT, "server error 502"),
    ({"error": {"code": "429", "message": "Rate limited"}}, THROTTLED, "rate limit"),
    ({"error": {"code": 401, "message": "User not found."}}, DENIED, KEY_REFUSED),
    ({"error": {"code": 402, "message": "Insufficient credits"}}, FATAL, NO_MONEY),
    ({"error": {"message": "Rate limit", "type": "rate_limit_error"}}, THROTTLED, "rate limit"),
    ({"error": "model 'x' not found"}, TRANSIENT, "an error instead of a reply"),
    ({"error": {"message": "the request exceeds the available context size", "code": 400}}, REQUEST, "refused by the server (400)"),
    (openai("Budget has been exceeded!", None, "budget_exceeded"), DENIED, NO_MONEY),
    ({"error": {"message": "no such model", "type": "not_found_error"}}, DENIED, NOT_FOUND),
    ({"choices": [{"error": {"code": 502, "message": "upstream"}, "finish_reason": "error", "message": {"content": "4"}}]}, TRANSIENT, "server error 502"),
    (anthropic("Overloaded", "overloaded_error"), THROTTLED, "overloaded"),
    ({"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "1"}, DENIED, KEY_REFUSED),
    (mistral("Rate limit exceeded", "rate_limited", "1300") | {"raw_status_code": 429}, THROTTLED, "rate limit"),
    ({"error": {"message": "Something"}}, TRANSIENT, "an error instead of a reply"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "reason"), IN_REPLIES)
def test_an_error_with_status_200_is_that_error(body: Any, kind: FaultKind, reason: str) -> None:
    fault = fault_in_reply(body)
    assert fault is not None
    assert (fault.kind, fault.reason) == (kind, reason)


@pytest.mark.parametrize("body", [{"choices": [], "error": None}, {"content": [], "error": {}}, {"id": "x"}])
def test_a_reply_without_an_error(body: Any) -> None:
    assert fault_in_reply(body) is None


def read(provider: str, answer: Any) -> Reply:
    """What a plug-in makes of a body with status 200. Raises Fault."""
    opened = find("llm", provider)(Endpoint(provider, "m", base_url="http://127.0.0.1:9"))
    try:
        found: Reply = opened.reply(answer)
        return found
    finally:
        asyncio.run(opened.close())


def completion(finish: str, text: str = "4.5") -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        ("content_filter", REQUEST),
        ("content_filter: SAFETY", REQUEST),
        ("sensitive", REQUEST),
        ("insufficient_system_resource", TRANSIENT),
        ("error", TRANSIENT),
    ],
)
def test_a_reply_that_was_stopped_is_no_reply(finish: str, kind: FaultKind) -> None:
    with pytest.raises(Fault) as stopped:
        read("openai", completion(finish))
    assert stopped.value.kind is kind


@pytest.mark.parametrize("finish", ["stop", "length", "", "tool_calls"])
def test_a_reply_that_ended(finish: str) -> None:
    assert read("openai", completion(finish)).text == "4.5"


def test_anthropic_s_refusal_is_the_row_s() -> None:
    with pytest.raises(Fault) as stopped:
        read("anthropic", {"content": [], "stop_reason": "refusal"})
    assert (stopped.value.kind, stopped.value.reason) == (REQUEST, "refusal")
    assert read("anthropic", {"content": [{"type": "text", "text": "4"}], "stop_reason": "end_turn"}).text == "4"


# How long to wait


def near(seconds: float | None, expected: float) -> bool:
    """Forms in whole seconds lose up to one, and the test itself takes some time."""
    return seconds is not None and expected - 5 <= seconds <= expected + 1


def moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("120ms", 0.12),
        ("7.66s", 7.66),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("1d2h", 93_600),
        ("26 seconds", 26),
        ("5 minutes", 300),
        ("-3", 0),
    ],
)
def test_a_duration(text: str, expected: float) -> None:
    assert seconds_of(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "soon", "inf", "nan", "7 apples", "s"])
def test_what_is_no_duration(text: str) -> None:
    assert seconds_of(text) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after-ms": "90000", "retry-after": "1"},
        {"Retry-After": "90"},
        {"retry-after": "1m30s"},
        {"retry-after": lambda: email.utils.formatdate(time.time() + 90, usegmt=True)},
        {"x-ratelimit-reset-requests": "1m30s", "x-ratelimit-remaining-requests": "0"},
        {
            "x-ratelimit-reset-tokens": "90s",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-requests": "9h",
            "x-ratelimit-remaining-requests": "7",
        },
        {"X-RateLimit-Reset": lambda: str(int((time.time() + 90) * 1000)), "X-RateLimit-Remaining": "0"},
        {"x-ratelimit-reset": lambda: str(int(time.time() + 90))},
        {"ratelimit-reset": "90", "ratelimit-remaining": "0"},
        {
            "anthropic-ratelimit-requests-reset": lambda: moment(90).isoformat().replace("+00:00", "Z"),
            "anthropic-ratelimit-requests-remaining": "0",
        },
    ],
)
def test_a_pause_by_headers(headers: dict[str, str | Callable[[], str]]) -> None:
    """A moment of the clock is computed here: long before, the file was imported."""
    given = {name: value if isinstance(value, str) else value() for name, value in headers.items()}
    assert near(pause_of(given), 90)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-reset-requests": "9h", "x-ratelimit-remaining-requests": "7"},
        {"anthropic-ratelimit-tokens-reset": "2099-01-01T00:00:00Z"},
        {"retry-after": "soon"},
    ],
)
def test_no_pause_by_headers(headers: dict[str, str]) -> None:
    assert pause_of(headers) is None


@pytest.mark.parametrize(
    "body",
    [
        gemini(429, "RESOURCE_EXHAUSTED", "Quota", {"@type": "google.rpc.RetryInfo", "retryDelay": "90s"}),
        gemini(429, "RESOURCE_EXHAUSTED", "Quota exceeded. Please retry in 90.07s."),
        lambda: openrouter(429, "Rate", headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int((time.time() + 90) * 1000))}),
        openai("Rate limit reached for gpt-x. Please try again in 1m30s. Visit the page", "rate_limit_exceeded"),
        openai("Requests have exceeded the limit. Please retry after 90 seconds.", "429"),
        openai("No deployments available, Try again in 90 seconds. Passed model=x", "429"),
    ],
)  # fmt: skip
def test_a_pause_by_the_body(body: Any) -> None:
    assert near(fault_of_status(429, body() if callable(body) else body, {}).retry_after, 90)


def test_a_refused_row_asks_for_no_pause() -> None:
    assert fault_of_status(400, openai("Please try again in 90 seconds"), {"retry-after": "9"}).retry_after is None
