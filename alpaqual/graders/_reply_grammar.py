"""The grammar of one line that gives a score: `4.5`, `Score: 4.5/5`, `评分：4.5分`, `[[4.5]]`, `\\boxed{4.5}`.

The whole line has to fit. A line that fits in two ways has no score.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alpaqual.graders._reply_labels import MAX_LABEL, is_label
from alpaqual.reply_text import plain, without_end_token

_NUMBER = r"(?:[0-9]+(?:[.,][0-9]+)?|\.[0-9]+)"
_OUT_OF = r"(?:/|out\s+of|of|из|від|з|von|sur|de|di|su|van|av|af|z|dari|trên|من)"
_UNIT = (
    r"(?:points?|pts?\.?|stars?|⭐|★|分|点|點|점|星|顆星|颗星|balla?|балл(?:а|ов)?|бал(?:и|ів)?|puntos?|pontos?|punti|punkt[ey]?n?|"
    r"punten|puan|poäng|điểm|نقاط|درجات|درجة|अंक|คะแนน)"
)
_MOST = r"(?:满分|滿分|总分|満点|out\s+of|max(?:imum|\.)?|on\s+a\s+scale\s+(?:of|from)|scale(?:\s+of)?|of|from|sur|von|из|de|/)"
_TO = r"(?:to|-|–|~|至|到|a|à|bis|до)"
_BEHIND_LABEL = re.compile(
    rf"(?P<number>[-+]?{_NUMBER})"
    rf"\s*(?:{_UNIT}(?![^\W\d_]))?"
    rf"(?P<scale>\s*(?:{_OUT_OF}\s*(?P<high>{_NUMBER})|[(\[]?\s*{_MOST}\s*:?\s*(?:{_NUMBER}\s*{_TO}\s*)?(?P<high_2>{_NUMBER})"
    rf"(?:\s*{_UNIT})?\s*[)\]]?))?"
    rf"\s*(?:{_UNIT}(?![^\W\d_]))?\s*(?P<close>[\])>}}\"'”’»」』】]?)"
    r"(?P<tail>\s*(?P<mark>[-–—:;,.!(。，：；！（、…])?\s*(?P<rest>.*))",
    re.IGNORECASE | re.DOTALL,
)
_SCALE_FIRST = re.compile(
    rf"(?P<high>{_NUMBER})\s*(?:点満点中|点満点で|点満点の|分满分中?|分中|점\s*만점에|점\s*중|में\s+से)[,\s]*(?P<number>{_NUMBER})\s*(?:{_UNIT})?\s*[.。]?",
    re.IGNORECASE,
)
_RANGE_IN_LABEL = re.compile(
    rf"(?P<label>[^0-9()\[\]]{{1,{MAX_LABEL}}}?)\s*(?:[(\[](?P<inside>[^()\[\]]{{1,40}})[)\]]|"
    rf"(?P<said>(?:\bout\s+of|\bon\s+a\s+scale\s+(?:of|from)|\bfrom)\s+{_NUMBER}(?:\s*{_TO}\s*{_NUMBER})?))"
    r"\s*(?:[:=]|\bis\b)\s*",
    re.IGNORECASE,
)
_MAY_NAME_A_RANGE = re.compile(r"[(\[]|\b(?:out|on|from)\b", re.IGNORECASE)
_DIGIT = re.compile(r"[0-9]")
_RANGE_WORD = re.compile(
    r"to|out|of|on|a|scale|from|max|maximum|min|points?|range|between|and|满分|分|点|점", re.IGNORECASE
)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_LISTED = re.compile(r"(?:\(?[0-9]{1,2}[.)]|[-•*–])\s+(?=[^\W\d_*])")
_LATER_SCALE = re.compile(
    rf"(?:\bout\s+of|\bscale\s+(?:of|from))\s+(?:{_NUMBER}\s*{_TO}\s*)?({_NUMBER})", re.IGNORECASE
)
_OR_ELSE = re.compile(
    r"\W*(?:or|and|to|maybe|perhaps|possibly|almost|nearly|oder|ou|o|или|或者?|または|또는)\b[^0-9]{0,40}[0-9]",
    re.IGNORECASE,
)
_SCORE_WORD = r"\b(?:scores?|ratings?|grades?|rated?)\b"
_OTHER_SCORE = re.compile(
    rf"{_SCORE_WORD}(?:\s+(?:is|was|be|of|as|it|at|to|would|should))*\s*[:=]?\s*({_NUMBER})"
    rf"|({_NUMBER})\s+(?:is|as|being|for)\s+(?:the|my|your|its)\s+(?:\w+\s+)?{_SCORE_WORD}",
    re.IGNORECASE,
)
"""A score in the words behind the first number."""
_TAG = re.compile(r"<([^\W\d]\w{0,40})>\s*([^<>]{1,60}?)\s*</\1>", re.IGNORECASE)
_FRAME = re.compile(
    r"\[\[\s*([^\[\],]{1,30}?)\s*\]\]|\\boxed\s*\{\s*(?:\\(?:text|mathbf|mathrm)\{)?\s*([^{},]{1,30}?)\s*\}{1,2}"
)
_MATHS = re.compile(r"\${1,2}([^$]{1,60})\${1,2}|\\[(\[]([^\\]{1,60})\\[)\]]")
_MARKUP = re.compile(r"(?<![0-9])[*_`]+|[*_`]+(?![0-9])")
_BLOCK = re.compile(r"(?:#{1,6}\s+|>\s+)+")
_QUOTES = "\"'“”‘’«»「」『』"
_THOUSANDS = re.compile(r",[0-9]{3}\Z")


@dataclass(frozen=True)
class Found:
    """A number that a line gives as its score, and the upper end of the scale that it names.

    `last`: nothing follows it; `named`: a label is before it.
    """

    value: float
    high: float | None = None
    last: bool = True
    named: bool = False


def read_line(line: str, dimension: str, low: float = 0, *, labelled: bool = False) -> Found | None:
    """The score that a line gives; None where it gives none, or could mean two.

    `labelled`: what the line is of says that it is a score, such as the key of a JSON object.
    """
    text = unframed(line, dimension)
    return None if text is None else read_text(text, dimension, low, labelled=labelled)


def read_text(line: str, dimension: str, low: float = 0, *, labelled: bool = False) -> Found | None:
    """As `read_line`, of a line without markup and frames."""
    text = line.strip(_QUOTES + " \t")
    if not _DIGIT.search(text):
        return None
    listed = _LISTED.match(text)
    rest = text[listed.end() :] if listed else text
    high: float | None = None
    ranged = _RANGE_IN_LABEL.match(rest) if _MAY_NAME_A_RANGE.search(rest[:MAX_LABEL]) else None
    if ranged:
        named = _named_range(ranged, dimension)
        if named is None:
            return None
        rest, high = f"{ranged['label']}: {rest[ranged.end() :]}", named
    if not rest.isascii() and (swapped := _SCALE_FIRST.fullmatch(rest)) is not None:
        return Found(_float(swapped["number"]), _float(swapped["high"]))
    start = _start_of_number(rest)
    found = _BEHIND_LABEL.fullmatch(rest, start)
    if found is None or start > MAX_LABEL:
        return None
    label = rest[:start]
    has_label = bool(label.strip(_QUOTES + "[(<【 ")) if label else False
    if has_label and not is_label(label, dimension):
        return None
    if (listed and not has_label) or _is_open(label, found["close"], has_label, low):
        return None
    return _found(found, has_label or labelled, high)


def _start_of_number(text: str) -> int:
    """Where the first number of a text starts, with its sign."""
    digit = _DIGIT.search(text)
    start = len(text) if digit is None else digit.start()
    start -= text[:start].endswith(".")
    return start - text[:start].endswith(("+", "-"))


def _is_open(label: str, closing: str, labelled: bool, low: float) -> bool:
    """Whether the signs around the number leave open what it is."""
    opened = label.strip()[-1:] if label else ""
    brackets = {"[": "]", "(": ")", "<": ">", "【": "】"}
    if opened in brackets:
        if not labelled or closing != brackets[opened]:
            return True
    elif closing in tuple("])>}】") and closing:
        return True
    # `Score - 1` on a scale with negative scores.
    return low < 0 and label.rstrip()[-1:] in ("-", "–", "—") and bool(label.strip())


def _found(found: re.Match[str], labelled: bool, high: float | None) -> Found | None:
    number, scale = found["number"], found["high"] or found["high_2"]
    if _LEADING_ZERO.match(number):
        return None
    if "," in number and (_THOUSANDS.search(number) or not (labelled or scale)):
        return None
    named = None if scale is None else _float(scale)
    if high is not None and named is not None and high != named:
        return None
    named = high if named is None else named
    mark, rest = found["mark"], found["rest"]
    if not rest:
        return Found(_float(number), named, named=labelled)
    if mark is None or not (rest[0].isalpha() or rest[0] in _QUOTES + "([*"):
        return None
    if mark == "." and not labelled and scale is None and "." not in number:
        # `1. The response is right`: the number of a list.
        return None
    if _OR_ELSE.match(rest) or _gives_another(rest, _float(number)):
        return None
    if (later := _LATER_SCALE.search(rest[:200])) is not None and named is None:
        named = _float(later[1])
    return Found(_float(number), named, last=False, named=labelled)


def _gives_another(rest: str, value: float) -> bool:
    """Whether the words behind a number give another one as the score: `The score is 5. The score is 3.`"""
    return any(_float(found[1] or found[2]) != value for found in _OTHER_SCORE.finditer(rest[:500]))


def _named_range(found: re.Match[str], dimension: str) -> float | None:
    """The upper end of the scale that a label names, as in `Score (0-5):`; None where it names something else."""
    if not is_label(found["label"], dimension):
        return None
    inside = found["said"] or found["inside"]
    numbers = re.findall(_NUMBER, inside)
    words = re.findall(r"[^\W\d_]+", re.sub(_NUMBER, " ", inside).casefold())
    known = all(_RANGE_WORD.fullmatch(word) for word in words)
    return _float(numbers[-1]) if known and 1 <= len(numbers) <= 2 else None


def unframed(line: str, dimension: str) -> str | None:
    """The line without markup and frames; None where a frame is of something else."""
    text = plain(line)
    text = without_end_token(text)
    if "<" in text and (tag := _TAG.search(text)) is not None:
        if not names_score(tag[1], dimension):
            return None
        text = _TAG.sub(lambda found: found[2], text, count=1)
    if "[[" in text or "\\" in text:
        text = _FRAME.sub(lambda found: found[1] or found[2], text)
    if "$" in text or "\\" in text:
        text = _MATHS.sub(lambda found: found[1] or found[2], text).strip()
    text = _BLOCK.sub("", text) if text[:1] in "#>" else text
    return _MARKUP.sub("", text).strip()


def names_score(tag: str, dimension: str) -> bool:
    """Whether a tag or a key names the score."""
    return tag.casefold() == "answer" or is_label(tag, dimension)


def _float(number: str) -> float:
    return float(number.replace(",", "."))
