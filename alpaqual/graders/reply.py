"""What a grader's reply says: a score on the scale, or no score and why. The one place where replies are parsed.

A reply counts by its first line, as the paper's prompt asks (Figure 4), so that a response which says "Score: 5" and is
quoted further down gains nothing.
"""

from __future__ import annotations

import json
import re

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
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am) (?:sorry|unable|not able)|I (?:can(?:no|')t|won't|will not|must decline)|as an AI\b|unable to (?:rate|provide|assess|score))",
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
    return Grade(value, None, reply)


def _structured(text: str, dimension: str) -> tuple[float, float | None] | str | None:
    """The score in a JSON reply, fenced or not; None where the reply is no JSON object."""
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
    lower = {key.lower(): item for key, item in value.items()}
    for key in (*_KEYS, dimension.lower()):
        if key in lower:
            return _value(lower[key], dimension)
    return "no number"


def _value(item: object, dimension: str) -> tuple[float, float | None] | str:
    if isinstance(item, bool) or item is None:
        return "no number"
    if isinstance(item, int | float):
        return float(item), None
    if isinstance(item, str):
        return _first_line(item)
    if isinstance(item, dict):
        nested = _structured(json.dumps(item), dimension)
        return "no number" if nested is None else nested
    return "no number"


def _first_line(text: str) -> tuple[float, float | None] | str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "empty reply"
    first = re.sub(r"[*_`#>]+", "", lines[0]).strip().strip("\"'").strip()
    if first.lower().strip(".:") in _NONE:
        return "no number"
    if not re.search(r"\d", first) and first.endswith(":") and len(lines) > 1:
        # A label on a line of its own: the score is on the next.
        first = f"{first} {re.sub(r'[*_`#>]+', '', lines[1]).strip()}"
    match = _LINE.match(first)
    if match:
        return float(match[1]), None if match[2] is None else float(match[2])
    return "refusal" if _REFUSAL.search(text[:300]) else "no number"
