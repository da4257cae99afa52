"""What an HTTP status means for a request: the two SDKs raise errors of the same shape."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from alpaqual.errors import Fault, FaultKind

_NO_MONEY = ("insufficient_quota", "billing", "credit balance")
_OF_THE_ROW = (
    "context_length",
    "string_above_max",
    "content_filter",
    "content_policy",
    "prompt is too long",
    "too large",
)
_TRANSIENT = (408, 409, 425)


def fault_of_status(status: int, body: object, headers: Mapping[str, str]) -> Fault:
    """The fault that a server's refusal is."""
    words = words_of(body)
    lower = words.lower()
    if status in (401, 403):
        return Fault(FaultKind.FATAL, "the key is refused", words)
    if status == 402 or (status == 429 and any(sign in lower for sign in _NO_MONEY)):
        return Fault(FaultKind.FATAL, "no money is left with the provider", words)
    if status == 404:
        return Fault(FaultKind.FATAL, "the model or the address is not there", words)
    if status in (429, 529):
        return Fault(FaultKind.THROTTLED, "rate limit" if status == 429 else "overloaded", words, retry_after(headers))
    if status >= 500 or status in _TRANSIENT:
        return Fault(FaultKind.TRANSIENT, f"server error {status}", words, retry_after(headers))
    if status == 413 or any(sign in lower for sign in _OF_THE_ROW):
        return Fault(FaultKind.REQUEST, f"refused by the server ({status})", words)
    return Fault(FaultKind.REFUSED, f"refused by the server ({status})", words)


def words_of(body: object) -> str:
    """Code and message of an error's body, in one line."""
    error: Any = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(error, Mapping):
        error = ": ".join(str(error[key]) for key in ("code", "type", "message") if error.get(key))
    return " ".join(str(error or "").split())[:300]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, where it does."""
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    asked = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(asked))
    with contextlib.suppress(ValueError, TypeError):
        import datetime

        until = parsedate_to_datetime(asked) - datetime.datetime.now(datetime.UTC)
        return max(0.0, until.total_seconds())
    return None
