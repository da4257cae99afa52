"""Reads one rating from 1 to 10: `[[7]]`, `Rating: [[7]]`, `7/10`.

The rating comes after the explanation, so where a reply has several the last line decides.
"""

from __future__ import annotations

import re

from alpaqual.judges._reading import HIGH, OUT_OF_SCALE, TAG, Said, in_scale

NO_RATING = "no rating"
RATINGS_DIFFER = "ratings that differ"
_NUMBER = r"(?P<number>-?[0-9]+(?:\.[0-9]+)?)(?:\s{0,2}(?:/|out\s{1,2}of)\s{0,2}(?P<high>[0-9]+(?:\.[0-9]+)?))?"
_MARKED = re.compile(rf"\[\[[*_ ]{{0,4}}(?:rating|score)?[ :*_]{{0,4}}{_NUMBER}[*_ ]{{0,4}}\]\]", re.IGNORECASE)
_SINGLE = re.compile(rf"\b(?:rat(?:ing|ed?)|scored?|grade)\b[^\[\]\n]{{0,40}}(?<!\[)\[{_NUMBER}\](?!\])", re.IGNORECASE)
"""A rating in one pair of brackets, which needs the word: `[1]` alone can be a citation or an index."""
_BOXED = re.compile(r"\\boxed ?\{([^{}]{1,20})\}")
_ALONE = re.compile(
    r"[*_#>`\s{(\"']*(?:(?:so|thus|therefore|overall|my|the|final|rating|score|grade|answer|is|of|response|assistant|assistant's|i|would|give|rate|it|a|an|as)"
    rf"[\s,:*_=\"'-]+)*[*_`\s]*\[{{0,2}}{_NUMBER}\]{{0,2}}(?:\s*points?)?[*_`\s.!)}}\"']*",
    re.IGNORECASE,
)
_MAX_ALONE = 200
"""Characters of a line that is a rating alone, at most."""


def read_rating(text: str) -> Said | str:
    """The rating that a reply gives, or the reason for none."""
    lines = [line for line in map(str.strip, TAG.sub("", _BOXED.sub(r"[[\1]]", text)).splitlines()) if line.strip("`")]
    if not lines:
        return NO_RATING
    for pattern in (_MARKED, _SINGLE):
        found = [{_value(match) for match in pattern.finditer(line)} for line in lines]
        values = {value for each in found for value in each}
        if len(values) == 1:
            return _said(values.pop(), open_=not found[-1] and _only(lines[0]) is None)
        if values:
            first = _only(lines[0])
            decided = len(found[-1]) == 1 and (first is None or {first} == found[-1])
            return _said(found[-1].pop()) if decided else RATINGS_DIFFER
    alone = {value for line in (lines[0], lines[-1]) if (value := _only(line)) is not None}
    if len(alone) > 1:
        return RATINGS_DIFFER
    # A number without brackets at the end of a reply that was cut may have more digits.
    return _said(alone.pop(), open_=_only(lines[-1]) is not None) if alone else NO_RATING


def _only(line: str) -> float | None:
    """The rating of a line that has nothing else."""
    found = _ALONE.fullmatch(line) if len(line) <= _MAX_ALONE else None
    return None if found is None else _value(found)


def _value(match: re.Match[str]) -> float:
    """The number; NaN, which is on no scale, where it is out of something else than ten."""
    return float(match["number"]) if match["high"] is None or float(match["high"]) == HIGH else float("nan")


def _said(value: float, *, open_: bool = False) -> Said | str:
    return Said(scores=(value,), open=open_) if in_scale(value) else OUT_OF_SCALE
