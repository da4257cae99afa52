"""The members of a JSON object or list as the texts that they are: digits, escapes and the order of keys stay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_OUTSIDE = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\n\r]+')


def members(text: str, start: int = 0) -> Iterator[tuple[str | None, Any, str]]:
    """Yield the key (None in a list), the value and the text of each member of the object or list that starts at `start`.

    The text is valid JSON.
    """
    at = _skip(text, start)
    closing = "]" if text[at] == "[" else "}"
    at = _skip(text, at + 1)
    while text[at] != closing:
        key = None
        if closing == "}":
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        value, end = _DECODER.raw_decode(text, at)
        yield key, value, text[at:end]
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def on_one_line(text: str) -> str:
    """A JSON text without the space between its parts, where it has line ends."""
    return _OUTSIDE.sub(lambda found: found[1] or "", text) if "\n" in text or "\r" in text else text


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
