"""Reads two scores from the first line of a reply: `8 7`, `8/10, 7/10`, `**Assistant 1: 8, Assistant 2: 7**`.

The whole line has to be scores, names of the two answers and words that go with them. What could mean two things says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from alpaqual.judges._reading import HIGH, OUT_OF_SCALE, Said, compared, in_scale

NO_SCORES = "no two scores"
MANY_SCORES = "more than two scores"
RANGE = "a range in place of a score"
_MAX_LINE = 300
_MAX_LINES = 8

_SIDE = r"1|2|a|b|one|two"
_NOUN = r"(?:ai[\s_-]+)?(?:assistant|answer|response|model|system|candidate|chatbot|option|助手|回答|模型|回复|アシスタント|어시스턴트)"
_ENDS = r"(?:['’]s)?(?![^\W\d_]|[0-9]|[.,/][0-9])"
_NAME = (
    rf"{_NOUN}(?:['’]?s)?[\s_#'-]*(?P<side>{_SIDE}){_ENDS}(?:\s*(?:and|&|/|vs\.?)\s*(?P<other>{_SIDE}){_ENDS}(?!\s*(?:\(|for\b|to\b)))?"
    r"|(?:score|rating)[\s_#]*(?P<score>1|2)(?=[\"'”]?\s*[:=])"
)
_TOKEN = re.compile(
    rf"(?P<name>{_NAME})"
    rf"|(?P<ordinal>(?:first|second|1st|2nd)\b(?:[\s_-]+(?:{_NOUN}|one|score)s?\b)?)"
    r"|(?P<letter>\b(?-i:[AB])(?=\s*[:=]))"
    r"|(?P<number>(?<![\w.])-?[0-9]+(?:\.[0-9]+)?(?:\s*(?:/|out\s+of)\s*(?P<high>[0-9]+(?:\.[0-9]+)?))?(?:[分点점](?!\w))?(?![\w%]|\.[0-9]))"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)?)"
    r"|(?P<sign>(?:[\s:;,.|/&=()\[\]{}\"'“”‘’*_`<>#!$•·→]|[–—-](?![0-9]))+)",
    re.IGNORECASE,
)
_SPOKEN = (
    "a ai an and answer answers are as assistant assistants assessment both by each evaluation final following for get gets "
    "give given gives grade grades here here's i is it marks me model models my of on one out output overall point points provide quality rate rated rating "
    "ratings receive received receives respectively response responses result results s score scored scores sure the their these to total two values "
    "versus vs was were whereas while with would i'd i'll will below judgement judgment "
    "分 分数 评分 得分 分别 和 点 점 점수 スコア"
)
_WORDS = frozenset(_SPOKEN.split())
"""Words that go with scores; a line with any other word is prose."""
_SCALE = re.compile(
    r"[(\[]\s*(?:out\s+of\s+10|[01]\s*(?:-|–|to)\s*10|scale[^()\[\]0-9]{0,20}[01]\s*(?:-|–|to)\s*10|/\s*10)\s*[)\]]"
    r"|\bon\s+a\s+scale\s+(?:of|from)\s+[01]\s*(?:-|–|to)\s*10\b|\bout\s+of\s+10\b(?=\s*(?:\)|[:,.]|$|are\b))",
    re.IGNORECASE,
)
_NAMES = re.compile(_NAME, re.IGNORECASE)
_RANGE = re.compile(r"(?<![\w./])[0-9]+(?:\.[0-9]+)?\s*(?:[-–—~]|\bto\b)\s*[0-9]", re.IGNORECASE)
_DECIMAL_COMMAS = re.compile(r"(?<![0-9])([0-9]{1,2}),([0-9])(\s+)([0-9]{1,2}),([0-9])(?![0-9])")
_FENCE_LINE = re.compile(r"`{3,}\s*[A-Za-z]*\Z")
_LISTED = re.compile(r"\s*[.)=]\s*")
_COLON = re.compile(r"\s*:\s*")
_LEADING_ZERO = re.compile(r"-?0[0-9]")
_MARK = re.compile(r"[.;:,(–—-]")
_FIRST = frozenset(("1", "a", "one", "first", "1st"))


@dataclass
class _Line:
    """What the lines so far have: names and numbers in their order. `bare`: nothing but one number is on the last line."""

    sides: list[int | float] = field(default_factory=list)
    names: list[bool] = field(default_factory=list)
    scale: bool = False
    bare: bool = False

    @property
    def numbers(self) -> int:
        return len(self.names) - sum(self.names)

    def forget_behind(self, end: int) -> None:
        """Leave out what is behind the last score: names in prose."""
        del self.sides[end:], self.names[end:]

    def add(self, value: float, *, name: bool = False) -> None:
        self.sides.append(value)
        self.names.append(name)


def read_score_pair(text: str) -> Said | str:
    """The two scores that a reply begins with, or the reason for none: too few, too many, a range, out of scale."""
    lines = [line for line in map(str.strip, text.splitlines()) if line and not _FENCE_LINE.match(line)]
    found = _Line()
    for number, line in enumerate(lines[:_MAX_LINES]):
        before = found.numbers
        if reason := _add(found, line):
            return reason
        if found.numbers > 2:
            return MANY_SCORES
        if found.numbers == 2:
            if found.bare and number + 1 < len(lines) and _is_bare(lines[number + 1]):
                return MANY_SCORES
            return _said(found, at_end=number + 1 == len(lines))
        if before < found.numbers and not (found.bare or any(found.names)):
            return NO_SCORES
    return NO_SCORES


def _add(found: _Line, line: str) -> str:
    """Add the names and numbers of a line; the reason why the line is no line of scores, or nothing."""
    line = _SCALE.sub(" ", _DECIMAL_COMMAS.sub(r"\1.\2\3\4.\5", line[:_MAX_LINE]))
    if _RANGE.search(_NAMES.sub(" ", line)):
        return RANGE
    found.bare = _is_bare(line)
    number: re.Match[str] | None = None
    at = end = 0
    for token in _tokens(line):
        if token is None or (token["word"] and token["word"].casefold() not in _WORDS):
            prose = found.numbers == 2 and number and _MARK.search(line[number.end() : at])
            if not prose or _numbers_in(line[at:]):
                return NO_SCORES
            found.forget_behind(end)
            return ""
        at = token.end()
        if token["number"]:
            if token["high"] and float(token["high"]) > HIGH:
                return OUT_OF_SCALE
            if _is_no_score(token) or (number and _numbers_a_list(number, line[number.end() : token.start()])):
                return NO_SCORES
            number = token
            found.add(float(re.split(r"[/\s分点점o]", token["number"])[0]))
            end = len(found.sides)
        for side in token.group("side", "other", "score", "ordinal", "letter"):
            if side:
                found.add(1 if re.split(r"[\s_-]", side.casefold())[0] in _FIRST else 2, name=True)
    return ""


def _is_no_score(number: re.Match[str]) -> bool:
    """Whether a number has a leading zero, or is out of something else than ten."""
    return bool(_LEADING_ZERO.match(number[0])) or (number["high"] is not None and float(number["high"]) != HIGH)


def _numbers_a_list(number: re.Match[str], between: str) -> bool:
    """Whether a number is that of a list, as in `1. 8`, and what follows is not its second score."""
    if _COLON.fullmatch(between):
        return number[0] in ("1", "2")
    return _LISTED.fullmatch(between) is not None


def _tokens(line: str) -> Iterator[re.Match[str] | None]:
    """The tokens of a line; None where a character begins none."""
    at = 0
    while at < len(line):
        token = _TOKEN.match(line, at)
        yield token
        if token is None:
            return
        at = token.end()


def _numbers_in(text: str) -> bool:
    """Whether a text has numbers that are no names."""
    return any(token is not None and token["number"] for token in _TOKEN.finditer(text))


def _is_bare(line: str) -> bool:
    return re.fullmatch(r"[*_`\s]*[0-9]+(?:\.[0-9]+)?(?:\s*/\s*10)?[*_`\s]*", line) is not None


def _said(found: _Line, *, at_end: bool) -> Said | str:
    first, second = (value for value, name in zip(found.sides, found.names, strict=True) if not name)
    named = [int(value) for value, name in zip(found.sides, found.names, strict=True) if name]
    if named:
        if sorted(named) != [1, 2] or not _in_turn(found.names):
            return NO_SCORES
        if named == [2, 1]:
            if found.names[1]:
                # `Assistant 2 > Assistant 1: 7 8` leaves open whose score is first.
                return NO_SCORES
            first, second = second, first
    if not in_scale(first, second):
        return OUT_OF_SCALE
    return Said(compared(first, second), (first, second), open=at_end)


def _in_turn(names: Sequence[bool]) -> bool:
    """Whether names and numbers come one after the other, or the two names first."""
    return list(names) in ([True, False, True, False], [False, True, False, True], [True, True, False, False])
