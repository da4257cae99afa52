"""Parses a grader's reply: a score on the scale, or no score and the reason.

The score is on the first line, as the paper's prompt asks (Figure 4), unless the recipe says otherwise. So a response that
says "Score: 5" and is quoted further down has no effect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from alpaqual.graders._reply_grammar import Found, read_text, unframed
from alpaqual.graders._reply_json import JsonObject, objects_behind, read_json, read_object, read_only_json
from alpaqual.graders._reply_labels import is_label
from alpaqual.reply_places import FIRST_LINE, JSON, LAST_LINE, PLACES, texts_of_scores
from alpaqual.reply_text import (
    CUT,
    EMPTY,
    END_OF_THINKING,
    FENCE,
    OPEN_ENDS,
    REFUSAL,
    UNFINISHED_THINKING,
    is_cut,
    is_refusal,
    without_thinking,
)
from alpaqual.values import Grade

_PLAIN = re.compile(r"\s*((?!0[0-9])[0-9]{1,9}(?:\.[0-9]{1,9})?)[ \t]*(?:\r?\n|\Z)")
_LABELLED = re.compile(
    r"[\s*#]*([^\W\d_][^\W\d]{0,30}(?: [^\W\d]{1,30}){0,4})(?:\*\*)? ?[:：]?\s(?:\*\*)?[ \t]*((?!0[0-9])[0-9]{1,9}(?:\.[0-9]{1,9})?)(?:\*\*)?"
    r"(?: ?/ ?([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:\*\*)?)?[ \t]*(?:\r?\n|\Z)"
)
_TAGGED = re.compile(r"\A<([^\W\d]\w{0,40})>\s*[^<>]{1,60}?\s*</\1>", re.IGNORECASE)
_NUMBER_OF_LIST = re.compile(r"[*_ \t]*([0-9]{1,2})\s*([.):-])(?![0-9])")
_NUMBER_ALONE = re.compile(r"[0-9]{1,2}\.\Z")
"""`1.` on a line of its own: a list begins, or it is a score and a full stop. It is read where nothing follows."""
_COMMA = re.compile(r"\W*[0-9]+,[0-9]")
_NONE = {"n/a", "na", "none", "null", "nan", "-", "not applicable", "no score"}
_OBJECT = re.compile(r"^[ \t]*\{", re.MULTILINE)
_ENDS_WITH_OBJECT = re.compile(r"\}\s*(?:```)?\s*\Z")
_MAX_OBJECTS = 20
_Reading = tuple[Found | str, bool]
"""A score or the reason for none, and whether it ends with the last line."""


def parse_score(
    reply: str | None,
    low: float,
    high: float,
    dimension: str = "accuracy",
    finish_reason: str | None = None,
    place: str = FIRST_LINE,
) -> Grade:
    """The grade that a reply gives on the scale from `low` to `high`.

    `finish_reason` is the provider's; `place` is where the score is, as `reply:` of a recipe says. Without a score, the reason is one of: empty reply, refusal, out of scale, no number,
    unfinished thinking, cut.
    """
    raw = reply or ""
    cut = is_cut(finish_reason)
    found, at_end = _read(raw, low, dimension, place)
    if isinstance(found, str):
        return Grade(None, CUT if cut and found not in (REFUSAL, "out of scale") else found, reply)
    if cut and _may_be_cut(raw, found, at_end, place):
        return Grade(None, CUT, reply)
    value = found.value
    if value != value or not low <= value <= high or (found.high is not None and found.high != high):
        return Grade(None, "out of scale", reply)
    # Zero has no sign: -0 is on the scale, and is written as 0.
    return Grade(value + 0.0, None, reply)


def _may_be_cut(raw: str, found: Found, at_end: bool, place: str) -> bool:
    """Whether a score at the end of a reply that was cut may be incomplete, or may not be on the last line at all."""
    if place == LAST_LINE and (at_end or not found.named):
        return True
    return at_end and (raw[-1] in OPEN_ENDS or raw[-1].isdigit())


def objects_of(raw: str) -> tuple[list[JsonObject], list[JsonObject]] | str:
    """The objects of JSON that are a reply's answer, or that end it, the most likely one first; or the reason for none.

    The second list has those behind an object that the reply begins with.

    Thinking is left out; where a line that ends thinking comes twice, none counts.
    """
    text = without_thinking(raw)
    if text is None:
        return UNFINISHED_THINKING
    if "</" in text and (end := END_OF_THINKING.search(text)) is not None:
        text = text[end.end() :].strip()
        if END_OF_THINKING.search(text):
            return "no number"
    if not text:
        return EMPTY
    fenced = FENCE.match(text) if text.startswith("```") else None
    body = fenced[1].strip() if fenced else text
    found: list[JsonObject | None] = []
    behind: list[JsonObject] = []
    if body.startswith("{"):
        found.append(read_object(body))
        behind += objects_behind(text[text.index("{") :])
    elif _ENDS_WITH_OBJECT.search(text) is not None:
        starts = [match.start() for match in _OBJECT.finditer(text)][: -_MAX_OBJECTS - 1 : -1]
        found += [read_object(text[start:].lstrip()) for start in starts]
    return [each for each in found if each is not None], behind


def without_score(text: str) -> str:
    """The reason of a reply without a score: a refusal, or no number."""
    return _without_score(text)[0]


def _read(raw: str, low: float, dimension: str, place: str) -> _Reading:
    if place == FIRST_LINE and "</" not in raw and (quick := _quick(raw, dimension)) is not None:
        return quick
    text = without_thinking(raw)
    if text is None:
        return UNFINISHED_THINKING, True
    if "</" in text and (end := END_OF_THINKING.search(text)) is not None:
        return _behind_thinking(text, end, low, dimension, place)
    return _answer(text, low, dimension, place)


def _quick(raw: str, dimension: str) -> _Reading | None:
    """The score of the most frequent forms, which the grammar reads too."""
    if (found := _PLAIN.match(raw)) is not None:
        return Found(float(found[1])), not raw[found.end() :].strip()
    found = _LABELLED.match(raw)
    if found is None or not is_label(found[1], dimension):
        return None
    high = None if found[3] is None else float(found[3])
    return Found(float(found[2]), high, named=True), not raw[found.end() :].strip()


def _behind_thinking(text: str, end: re.Match[str], low: float, dimension: str, place: str) -> _Reading:
    """The score behind thinking whose beginning is in the prompt's template, not in the reply.

    A line that ends thinking can also be quoted: where both sides of it give a score, or it comes twice, none counts.
    """
    before, behind = text[: end.start()].strip(), text[end.end() :].strip()
    if place == LAST_LINE:
        return _answer(behind, low, dimension, place)
    first = _answer(before, low, dimension, place)[0] if before else EMPTY
    if isinstance(first, Found):
        later = _answer(behind, low, dimension, place)
        return later if later[0] == first else ("no number", True)
    if END_OF_THINKING.search(behind):
        return "no number", True
    return _answer(behind, low, dimension, place)


def _answer(text: str, low: float, dimension: str, place: str) -> _Reading:
    """The score of a reply without its thinking."""
    if not text:
        return EMPTY, True
    if place not in PLACES:
        return _by_pattern(text, low, dimension, place)
    fenced = FENCE.match(text) if text.startswith("```") else None
    body = fenced[1].strip() if fenced else text
    if body.startswith("{"):
        # Elsewhere than on the first line, an object behind it counts too.
        return (read_json if place == FIRST_LINE else read_only_json)(body, dimension), False
    if fenced and not body:
        return "no number", True
    if place == JSON:
        return _last_object(text, dimension), False
    return (_last_line if place == LAST_LINE else _first_line)(body, low, dimension)


def _by_pattern(text: str, low: float, dimension: str, pattern: str) -> _Reading:
    """The score in the group of a regular expression; different matches are ambiguous."""
    found = texts_of_scores(pattern, text)
    score = read_text(unframed(found[0], dimension) or "", dimension, low, labelled=True) if len(found) == 1 else None
    return _without_score(text) if score is None else (score, text.endswith(found[0]))


def _last_object(text: str, dimension: str) -> Found | str:
    """The score of the object of JSON that ends a reply."""
    if _ENDS_WITH_OBJECT.search(text) is not None:
        for start in [found.start() for found in _OBJECT.finditer(text)][: -_MAX_OBJECTS - 1 : -1]:
            found = read_json(text[start:].lstrip(), dimension)
            if isinstance(found, Found):
                return found
    return _without_score(text)[0]


def _last_line(text: str, low: float, dimension: str) -> _Reading:
    """The score of the last line, or of the two last ones where a label is on its own line."""
    lines = [line for line in map(str.strip, text.splitlines()) if line.strip("`")]
    if len(lines) > 1 and is_label(unframed(lines[-2], dimension) or "", dimension):
        return _first_line("\n".join(lines[-2:]), low, dimension)
    found = _first_line(lines[-1], low, dimension) if lines else (EMPTY, True)
    if not isinstance(found[0], Found) or (not found[0].named and _ends_list(lines)):
        return _without_score(text)[0], True
    return found


def _without_score(text: str) -> tuple[str, bool]:
    return REFUSAL if is_refusal(text) else "no number", True


def _first_line(text: str, low: float, dimension: str) -> _Reading:
    if text.startswith("<") and (tagged := _TAGGED.match(text)) is not None and "\n" in tagged[0]:
        # A tag over several lines.
        text = tagged[0].replace("\n", " ")
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if not lines:
        return EMPTY, True
    first = unframed(lines[0], dimension) or ""
    used, comma = 1, False
    if first.casefold().strip(".:") in _NONE:
        return "no number", True
    if len(lines) > 1 and is_label(first, dimension):
        # A label on its own line: the score is on the next.
        used, first = 2, unframed(lines[1], dimension) or ""
        comma = _COMMA.match(first) is not None
    found = read_text(first, dimension, low, labelled=comma)
    listed = _NUMBER_ALONE.match(first) and len(lines) > used
    if found is not None and (found.named or not (listed or _is_list(text))):
        return found, found.last and len(lines) == used
    return _without_score(text)


def _ends_list(lines: Sequence[str]) -> bool:
    """Whether the last line has the number of a list, and an earlier one the number before it."""
    last = _NUMBER_OF_LIST.match(lines[-1])
    if last is None:
        return False
    earlier = (found for line in lines[:-1] if (found := _NUMBER_OF_LIST.match(line)) is not None)
    return any(found[2] == last[2] and int(found[1]) == int(last[1]) - 1 for found in earlier)


def _is_list(text: str) -> bool:
    """Whether the first line has the number of a list, and a later one the next."""
    first = _NUMBER_OF_LIST.match(text)
    if first is None:
        return False
    return re.search(rf"\n[*_ \t]*{int(first[1]) + 1}\s*{re.escape(first[2])}(?![0-9])", text) is not None
