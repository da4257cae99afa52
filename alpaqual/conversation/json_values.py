"""Values of JSON: what kind one is, and reading one from its text."""

from __future__ import annotations

import json
from typing import Any

_SHOWN = 40


class ConversationError(ValueError):
    """Says why a record cannot become a conversation; its text is the reason in quarantine."""


def kind_of(value: Any) -> str:
    """What a value is, in words for a message."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, dict) else f"a value of type {type(value).__name__}"


def quoted(text: str) -> str:
    """A short text of the data, in quotes, on one line."""
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    return ascii(shown) if not shown.isprintable() else f"'{shown}'"


def parsed(text: str, what: str) -> Any:
    """Read a JSON text; raises ConversationError, which names `what`."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ConversationError(f"{what}: a text that is no JSON") from None


def json_text(value: Any, what: str, separators: tuple[str, str] | None = None) -> str:
    """The JSON text of a value, as UTF-8 can hold it; raises ConversationError, which names `what`."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=separators)
    except (TypeError, ValueError, RecursionError):
        raise ConversationError(f"{what}: a value that JSON cannot hold") from None
    require_utf8(text, what)
    return text


def require_utf8(text: str, what: str) -> None:
    """Raises ConversationError, which names `what`, for a text that UTF-8 cannot hold."""
    try:
        _ = text.isascii() or text.encode()
    except UnicodeEncodeError:
        raise ConversationError(f"{what}: a text with half a surrogate pair, which UTF-8 cannot hold") from None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
