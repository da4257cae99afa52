"""Bodies as the two providers write them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from .judging import verdict
from .prompts import named_score, prompt_of
from .settings import Settings

OPENAI = "openai"
RESPONSES = "responses"
ANTHROPIC = "anthropic"

PROSE = "That is a fine response, and I would rate it highly."
REFUSAL = "I'm sorry, but I can't help with that."
PAGE = b"<!DOCTYPE html><html><body><h1>Welcome to the proxy</h1></body></html>"

_STATUS: dict[str, tuple[int, str, str]] = {
    "throttle": (429, "rate_limit_exceeded", "Rate limit reached for requests"),
    "throttle_bare": (429, "rate_limit_exceeded", "Rate limit reached for requests"),
    "error": (500, "server_error", "The server had an error while processing your request"),
    "unavailable": (503, "unavailable", "The engine is currently unavailable"),
    "timeout_status": (408, "timeout", "The request took too long to arrive"),
    "context_length": (400, "context_length_exceeded", "prompt is too long: 200000 tokens > 128000 maximum"),
    "too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "content_filter": (400, "content_filter", "The prompt was filtered by the content policy"),
    "unsupported": (
        400,
        "unsupported_parameter",
        "Unsupported parameter: 'temperature' is not supported with this model",
    ),
    "invalid": (400, "invalid_request_error", "Something about this request is wrong"),
    "quota": (429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details"),
    "payment": (402, "payment_required", "Payment is required"),
    "unauthorized": (401, "invalid_api_key", "Incorrect API key provided"),
    "forbidden": (403, "permission_error", "Your key may not use this"),
    "not_found": (404, "model_not_found", "The model does not exist"),
}

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Answer:
    """What goes back: `headers` are whole lines; `kind` says how it goes wrong, where it does."""

    status: int
    body: bytes
    headers: str = ""
    kind: str = ""


def failure(kind: str, provider: str, words: str = "") -> tuple[int, dict[str, Any]]:
    """Status and body of a kind that is a status."""
    if kind == "overloaded":
        status, code, message = (529 if provider == ANTHROPIC else 503), "overloaded_error", "Overloaded"
    else:
        status, code, message = _STATUS[kind]
    message = words or message
    if provider == ANTHROPIC:
        name = _TYPES.get(status, "api_error")
        return status, {"type": "error", "error": {"type": name, "message": message}, "request_id": "req_1"}
    return status, {"error": {"message": message, "type": code, "param": None, "code": code}}


def is_status(kind: str) -> bool:
    """Whether a kind is an answer with another status than 200."""
    return kind == "overloaded" or kind in _STATUS


def text_of(kind: str, body: dict[str, Any], score: float, settings: Settings, times: int = 0) -> str:
    """What the model says to a prompt that it was asked `times` times before."""
    if kind == "prose":
        return PROSE
    if kind == "refusal":
        return REFUSAL
    if settings.judge and (said := verdict(prompt_of(body), settings.judge, settings.seed)) is not None:
        return said
    schema = _schema(body)
    if schema is not None:
        properties = schema.get("properties", {})
        return json.dumps({name: _value(name, kind, score) for name, kind in properties.items()})
    return settings.reply.replace("{score}", f"{score:g}").replace("{times}", str(times))


def _value(name: str, kind: dict[str, Any], score: float) -> Any:
    """A value of a structured reply: the score, or one that also depends on the name where a reply has several."""
    if kind.get("type") == "string":
        return "Because."
    return score if name == "score" else named_score(name, score)


def message(provider: str, text: str, tokens: tuple[int, int], body: dict[str, Any], settings: Settings) -> Any:
    """A whole reply, as an object to be written as JSON."""
    model = settings.answers_as or body["model"]
    if provider == ANTHROPIC:
        usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], **settings.usage_more}
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": text}] if text else [],
            "stop_reason": "end_turn",
            "stop_sequence": None,
        } | ({"usage": usage} if settings.usage else {})
    if provider == RESPONSES:
        return response(text, tokens, model, body, settings)
    usage = {
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
        "total_tokens": sum(tokens),
        **settings.usage_more,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": {"content": logprobs(text)} if body.get("logprobs") and settings.logprobs else None,
                "finish_reason": "stop",
            }
        ],
    } | ({"usage": usage} if settings.usage else {})


def response(text: str, tokens: tuple[int, int], model: str, body: dict[str, Any], settings: Settings) -> Any:
    """A whole reply of the Responses API."""
    part = {"type": "output_text", "text": text, "annotations": []}
    if "message.output_text.logprobs" in body.get("include", []) and settings.logprobs:
        part["logprobs"] = logprobs(text)
    usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "status": "completed", "content": [part]},
        ],
    } | ({"usage": usage} if settings.usage else {})


def logprobs(text: str) -> list[dict[str, Any]]:
    """The tokens of a text, one for each number, mark and word; the first number is beside the next one (0.25)."""
    found, numbers = [], 0
    for token in re.findall(r"\d+|[ ]?[^\W\d]+|.", text, re.DOTALL):
        shares = {token: 1.0}
        if token.isdigit():
            shares = {token: 0.75, str(int(token) + 1): 0.25} if not numbers else shares
            numbers += 1
        tops = [{"token": name, "logprob": math.log(share), "bytes": None} for name, share in shares.items()]
        found.append({**tops[0], "top_logprobs": tops})
    return found


def _schema(body: dict[str, Any]) -> Any:
    if "input" in body:
        return ((body.get("text") or {}).get("format") or {}).get("schema")
    asked = body.get("response_format") or (body.get("output_config") or {}).get("format") or {}
    return asked["json_schema"]["schema"] if "json_schema" in asked else asked.get("schema")
