"""Where a recipe says that the score of a reply is: the first line, the last one, JSON, or a regular expression."""

from __future__ import annotations

import functools
import itertools
import re

from alpaqual.patterns import pattern_problem

FIRST_LINE, LAST_LINE, JSON = PLACES = ("first_line", "last_line", "json")
"""Values of `reply:` besides regular expressions."""
MAX_PATTERN = 200
_MAX_LINE, _MAX_LINE_OF_WIDE = 1000, 200
"""Characters of a line at most, and where two wide repeats make the time grow with the third power of the line."""
_MAX_LINES = 10
_MAX_WIDE_REPEATS = 2
_MANY = 10
_LONG_NUMBER = re.compile(r"[0-9]{21}")
_PIECE = re.compile(
    r"(?P<flags>\(\?[A-Za-z-]+\))|(?P<open>\((?:\?[^:)>]*[:>])?)|(?P<close>\))|(?P<or>\|)"
    r"|(?P<repeat>[*+?]|\{(?P<low>[0-9]+)(?P<comma>,)?(?P<high>[0-9]*)\})\??"
    r"|(?P<atom>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.)",
    re.DOTALL,
)
_NARROW = (r"\s", r"\d", " ", r"\ ", r"[0-9]", r"[ \t]")


def reply_problem(pattern: str) -> str:
    """The reason why a regular expression cannot say where the score is, or nothing."""
    if len(pattern) > MAX_PATTERN:
        return f"a regular expression of at most {MAX_PATTERN} characters, not {len(pattern)}"
    if problem := pattern_problem(pattern):
        return f"{problem} (or write {', '.join(PLACES)})"
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        return f"not a regular expression: {error.msg} (or write {', '.join(PLACES)})"
    if groups != 1:
        return f"it needs one group, around the score, not {groups} (or write {', '.join(PLACES)})"
    if r"\n" in pattern or "\n" in pattern:
        return "it is tried on each line by itself, and can hold no line break"
    return _slow(pattern)


def _slow(pattern: str) -> str:
    """The reason why a pattern may take long on some text: a repeat within a repeat, or many wide ones."""
    inner = [False]
    before, closed = "", False
    for piece in _PIECE.finditer(pattern):
        if piece["open"]:
            inner.append(False)
        elif piece["close"]:
            closed = inner.pop()
            inner[-1] = inner[-1] or closed
        elif piece["or"]:
            inner[-1] = True
        elif piece["repeat"] and _is_many(piece):
            if before == ")" and closed:
                return f"'{piece[0]}' repeats what repeats or has a choice: that can take very long; write it simpler"
            inner[-1] = True
        before = piece[0]
    if (wide := _wide_repeats(pattern)) > _MAX_WIDE_REPEATS:
        return (
            f"{wide} repeats such as .* can take very long: at most {_MAX_WIDE_REPEATS}, besides those of \\s and \\d"
        )
    return ""


def _wide_repeats(pattern: str) -> int:
    """How many repeats of a pattern can take many characters that are neither spaces nor digits."""
    pieces = list(_PIECE.finditer(pattern))
    return sum(
        bool(piece["repeat"]) and _is_many(piece) and before[0] not in _NARROW
        for before, piece in itertools.pairwise(pieces)
    )


def _is_many(piece: re.Match[str]) -> bool:
    """Whether a repeat repeats often: `?` and small counts do not."""
    if piece["low"] is None:
        return piece["repeat"] != "?"
    unlimited = piece["comma"] is not None and not piece["high"]
    return unlimited or int(piece["high"] or piece["low"]) > _MANY


def texts_of_scores(pattern: str, text: str) -> list[str]:
    """The different texts of the pattern's group, in the first and last lines of a text; overlong lines are left out."""
    compiled, longest = _compiled(pattern)
    lines = [line for line in text.splitlines() if len(line) <= longest and not _LONG_NUMBER.search(line)]
    if len(lines) > 2 * _MAX_LINES:
        lines = lines[:_MAX_LINES] + lines[-_MAX_LINES:]
    found = (match[1] for line in lines for match in compiled.finditer(" ".join(line.split())))
    return list(dict.fromkeys(score for score in found if score))


@functools.lru_cache(64)
def _compiled(pattern: str) -> tuple[re.Pattern[str], int]:
    """The compiled pattern, and the length of the longest line that it is tried on."""
    return re.compile(pattern), _MAX_LINE if _wide_repeats(pattern) < _MAX_WIDE_REPEATS else _MAX_LINE_OF_WIDE
