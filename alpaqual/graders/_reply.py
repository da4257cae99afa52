"""Parses a grader's reply: a score on the scale, or no score and the reason.

Only the first line counts, as the paper's prompt asks (Figure 4), so that a response which says "Score: 5" and is quoted
further down has no effect.
"""

from __future__ import annotations

import json
import re
from typing import Any

from alpaqual.values import Grade

_THINKING = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN_THINKING = re.compile(r"\A\s*<(think|thinking|reasoning)>", re.IGNORECASE)
_FENCE = re.compile(r"\A```[A-Za-z]*\s*\n(.*?)\n?\s*```", re.DOTALL)
_NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)"
_LABEL = r"(?:[A-Za-z][A-Za-z _-]{0,40}\s*[:=]\s*|(?:the\s+)?(?:[A-Za-z]+\s+)?(?:score|rating)\s*(?:is|of)?\s*)?"
_TAIL = r"(?:\s*[-–—:;,.!(]\s*[^\d\s].*)?"
_LINE = re.compile(
    rf"\A{_LABEL}({_NUMBER})(?:\s*(?:/|out\s+of)\s*({_NUMBER}))?\s*(?:points?|stars?)?\s*[.!]?{_TAIL}\Z",
    re.IGNORECASE,
)
_LISTED = re.compile(r"\A\d{1,2}[.)]\s+(?=[A-Za-z])")
_REFUSAL = re.compile(
    r"\b(?:I(?:['’]m| am) (?:sorry|unable|not able)|I (?:can(?:no|['’])t|won['’]t|will not|must decline)|as an AI\b|unable to (?:rate|provide|assess|score))",
    re.IGNORECASE,
)
_NONE = {"n/a", "na", "none", "null", "nan", "-", "not applicable", "no score"}
_KEYS = ("score", "rating", "grade", "value")


def parse_score(reply: str | None, low: float, high: float, dimension: str = "accuracy") -> Grade:
    """The grade that a reply gives on the scale from `low` to `high`.

    Without a score, the reason is one of: empty reply, refusal, out of scale, no number, unfinished thinking.
    """
    text = (reply or "").strip().lstrip("﻿")
    text = _THINKING.sub("", text, count=1).strip()
    if _OPEN_THINKING.match(text):
        return Grade(None, "unfinished thinking", reply)
    if not text:
        return Grade(None, "empty reply", reply)
    found = _structured(text, dimension)
    if found is None:
        found = _first_line(text)
    if isinstance(found, str):
        return Grade(None, found, reply)
    value, out_of = found
    if value != value or not low <= value <= high or (out_of is not None and out_of != high):
        return Grade(None, "out of scale", reply)
    # Zero has no sign: -0 is on the scale, and is written as 0.
    return Grade(value + 0.0, None, reply)


def _structured(text: str, dimension: str) -> tuple[float, float | None] | str | None:
    """The score in a JSON reply, fenced or not; None where the reply is not a JSON object."""
    fenced = _FENCE.match(text)
    body = fenced[1].strip() if fenced else text
    if not body.startswith("{"):
        if not fenced:
            return None
        return _first_line(body) if body else "no number"
    try:
        value, _ = json.JSONDecoder().raw_decode(body)
    except (ValueError, RecursionError):
        return "no number"
    found = _by_name(value, dimension)
    if isinstance(found, dict):
        found = _by_name(found, dimension)
    return _value(found)


def _by_name(value: dict[str, Any], dimension: str) -> object:
    """The value of an object under one of the names of a score."""
    lower = {key.lower(): item for key, item in value.items()}
    return next((lower[key] for key in (*_KEYS, dimension.lower()) if key in lower), None)


def _value(item: object) -> tuple[float, float | None] | str:
    if isinstance(item, str):
        return _first_line(item)
    if isinstance(item, bool) or not isinstance(item, int | float):
        return "no number"
    try:
        return float(item), None
    except OverflowError:
        return "out of scale"


def _first_line(text: str) -> tuple[float, float | None] | str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "empty reply"
    first = re.sub(r"[*_`#>]+", "", lines[0]).strip().strip("\"'").strip()
    if first.lower().strip(".:") in _NONE:
        return "no number"
    if not re.search(r"\d", first) and first.endswith(":") and len(lines) > 1:
        # A label on its own line: the score is on the next.
        first = f"{first} {re.sub(r'[*_`#>]+', '', lines[1]).strip()}"
    # `1. Accuracy: 4.5` is the first of a list of scores, not a score of 1.
    match = _LINE.match(_LISTED.sub("", first)) or _LINE.match(first)
    if match:
        return float(match[1]), None if match[2] is None else float(match[2])
    return "refusal" if _REFUSAL.search(text[:300]) else "no number"
