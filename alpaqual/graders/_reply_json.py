"""The score of a JSON reply: whole, cut behind its score, or written as Python and JavaScript write objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from alpaqual.graders._reply_grammar import Found, read_line
from alpaqual.graders._reply_labels import is_label
from alpaqual.reply_text import plain

Pairs = Sequence[tuple[str, Any]]

_KEYS = ("score", "rating", "grade", "value")
_KEY = re.compile(r"\s*(\"(?:[^\"\\]|\\.)*\")\s*:\s*", re.DOTALL)
_FOLLOWS = re.compile(r"\s*,\s*(?=[\"'}]|\Z)|\s*\}|\s+\Z")
_LOOSE = re.compile(
    r"\{\s*['\"“]?([^\W\d][\w ()-]{0,40}?)['\"”]?\s*:\s*(?:'([^'\n]{1,30})'|([-+]?[0-9.]+(?:/[0-9.]+)?)(?=\s*\}|\s*,\s*[^\s0-9]))"
)
_AMBIGUOUS = object()
_MAX_BEHIND = 20


class JsonObject(list[tuple[str, Any]]):
    """The pairs of an object, in their order: a key may come twice."""


_DECODER = json.JSONDecoder(object_pairs_hook=JsonObject)


def read_object(body: str) -> JsonObject | None:
    """The pairs of the object that a text begins with, as far as they are whole; None where it is nested too deep."""
    try:
        value, _ = _DECODER.raw_decode(body)
    except RecursionError:
        return None
    except ValueError:
        return _whole_pairs(body)
    return value if isinstance(value, JsonObject) else None


def objects_behind(body: str) -> Iterator[JsonObject]:
    """The objects behind the one that a text begins with, such as a correction."""
    if body.count("{") < 2:
        return
    try:
        _, end = _DECODER.raw_decode(body)
    except (RecursionError, ValueError):
        return
    for start in [found.start() for found in re.finditer(r"\{", body[end:])][-_MAX_BEHIND:]:
        if (found := read_object(body[end + start :])) is not None:
            yield found


def read_only_json(body: str, dimension: str) -> Found | str:
    """The score of a text that begins with an object, where no object behind it gives another one."""
    score = read_json(body, dimension)
    if isinstance(score, Found):
        others = (read_value(_by_name(found, dimension), dimension) for found in objects_behind(body))
        if any(isinstance(other, Found) and other.value != score.value for other in others):
            return "no number"
    return score


def read_json(body: str, dimension: str) -> Found | str:
    """The score of a text that begins with an object, or the reason why it gives none."""
    value = read_object(body)
    if value is None:
        return "no number"
    found = _by_name(value, dimension)
    if isinstance(found, JsonObject):
        found = _by_name(found, dimension)
    if found is None and (loose := _LOOSE.match(body)) is not None and is_label(loose[1], dimension):
        found = loose[2] or loose[3]
    return read_value(found, dimension)


def _whole_pairs(body: str) -> JsonObject:
    """The pairs of an object that ends early, or that is broken further down. A number at the very end may be cut."""
    pairs = JsonObject()
    at = 1
    while (key := _KEY.match(body, at)) is not None:
        try:
            name, (value, end) = json.loads(key[1], strict=False), _DECODER.raw_decode(body, key.end())
        except (ValueError, RecursionError):
            break
        follows = _FOLLOWS.match(body, end)
        if follows is None and not (isinstance(value, str) and end == len(body)):
            break
        pairs.append((name, value))
        if follows is None or follows[0].strip() == "}":
            break
        at = follows.end()
    return pairs


def _by_name(pairs: Pairs, dimension: str) -> object:
    """The value under one of the names of a score; two different ones are ambiguous."""
    lower: dict[str, list[object]] = {}
    for key, value in pairs:
        lower.setdefault(key.casefold(), []).append(value)
    for key in (*_KEYS, dimension.casefold()):
        if key in lower:
            return only_value(lower[key])
    return only_value([value for key, values in lower.items() if is_label(plain(key), dimension) for value in values])


def only_value(values: Sequence[object]) -> object:
    """The value that all have in common."""
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    same = all(isinstance(value, str | int | float) and value == values[0] for value in values)
    return values[0] if same else _AMBIGUOUS


def read_value(item: object, dimension: str) -> Found | str:
    """The number that a value gives, or the reason why it gives none."""
    if isinstance(item, str):
        return read_line(item, dimension, labelled=True) or "no number"
    if isinstance(item, bool) or not isinstance(item, int | float):
        return "no number"
    try:
        return Found(float(item))
    except OverflowError:
        return "out of scale"
