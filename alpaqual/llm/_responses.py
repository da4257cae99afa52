"""OpenAI's Responses API in the forms of chat completions: the body of a request, and the normal form of a reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ENDS = {"max_output_tokens": "length", "max_tokens": "length"}
"""The finish reason of a reply that is incomplete, where chat completions have another word for it."""


def responses_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a response for the body of a chat completion; the provider does not store the reply."""
    names = {"messages": "input", "max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
    nested = ("response_format", "reasoning_effort", "verbosity", "logprobs")
    found = {names.get(name, name): value for name, value in body.items() if name not in nested}
    if "reasoning_effort" in body:
        found["reasoning"] = {"effort": body["reasoning_effort"], **found.get("reasoning", {})}
    text = dict(found.get("text", {}))
    if "verbosity" in body:
        text.setdefault("verbosity", body["verbosity"])
    if "response_format" in body:
        text["format"] = {"type": "json_schema", **body["response_format"]["json_schema"]}
    if body.get("logprobs"):
        found["include"] = [*found.get("include", []), "message.output_text.logprobs"]
    return {"store": False, **found} | ({"text": text} if text else {})


def as_completion(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """A response as a chat completion; a completion is returned as it is."""
    output = answer.get("output")
    if "choices" in answer or not isinstance(output, list):
        return answer
    parts = [
        part
        for item in output
        if isinstance(item, Mapping) and item.get("type", "message") == "message"
        for part in item.get("content") or []
        if isinstance(part, Mapping)
    ]
    texts = [part.get("text") for part in parts if part.get("type") in ("output_text", "text")]
    refusals = [part.get("refusal") for part in parts if part.get("type") == "refusal"]
    message = {
        "content": "".join(text for text in texts if isinstance(text, str)),
        "refusal": next(iter(refusals), None),
    }
    logprobs = [each for part in parts for each in part.get("logprobs") or []]
    choice = {
        "message": message,
        "finish_reason": _end(answer),
        "logprobs": {"content": logprobs} if logprobs else None,
    }
    return {**answer, "choices": [choice]}


def _end(answer: Mapping[str, Any]) -> str:
    """The finish reason of a response."""
    status = answer.get("status")
    details = answer.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if status in (None, "completed"):
        return "stop"
    return _ENDS.get(str(reason), str(reason or status))
