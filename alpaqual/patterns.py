"""Regular expressions as RE2 reads them, which is what a run uses: what it cannot read is said before anything runs."""

from __future__ import annotations

import re
import warnings

_SHARED = r"\\(?:x(?:[0-9A-Fa-f]{2}|\{[0-9A-Fa-f]{1,6}\})|0[0-7]{0,2}|[1-7][0-7]{1,2}|[aftnrv]|[^\w\\]|_|\\)"
_SET = r"\\[dDsSwW]|\\[pP](?:\{\^?[A-Za-z_]+\}|[A-Z])"
_TOKEN = re.compile(
    r"(?P<quoted>\\Q.*?(?:\\E|\Z))"
    r"|(?P<class>\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\])"
    rf"|(?P<set>{_SET})|(?P<plain>{_SHARED}|\\[bBAC])|(?P<end>\\z)|(?P<escape>\\.?)"
    r"|\(\?(?:P<(?P<name>\w+)>|(?P<flags>[imsU]*(?:-[imsU]+)?[:)]))"
    r"|(?P<group>\(\?(?:P?.)?[=!]?)"
    r"|(?:[*+?]|\{(?P<low>\d+)(?:,(?P<high>\d*))?\})\??(?P<twice>[+*?])?",
    re.DOTALL,
)
_POSIX = "alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit"
_IN_CLASS = re.compile(
    rf"(?P<set>{_SET}|\[:\^?(?:{_POSIX}):\])|(?P<plain>{_SHARED})|(?P<escape>\\.|\[:\^?[a-z]+:\])|(?P<open>\[)",
    re.DOTALL,
)
_MOST_REPEATS = 1000


def pattern_problem(pattern: str) -> str:
    """What keeps a pattern from being a regular expression of RE2, or nothing.

    What only RE2 has is replaced by something like it, so that Python's parser can judge the rest.
    """
    try:
        like = _TOKEN.sub(_like, pattern)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(like)
    except _Refused as refused:
        return str(refused)
    except (re.error, RecursionError, OverflowError) as error:
        return f"not a regular expression: {getattr(error, 'msg', error)}"
    return ""


class _Refused(ValueError):  # noqa: N818 - it never leaves this file
    """Why RE2 does not read a piece."""


def _like(token: re.Match[str]) -> str:
    """What Python calls the same as a piece of an RE2 pattern, or nearly the same."""
    text, found = token[0], token.groupdict()
    if found["escape"] or found["group"]:
        raise _Refused(_why(text))
    if found["twice"]:
        raise _Refused(f"'{text}': RE2 has no possessive or repeated repetition")
    if max(int(found["low"] or 0), int(found["high"] or 0)) > _MOST_REPEATS:
        raise _Refused(f"'{text}': RE2 repeats at most {_MOST_REPEATS:,} times")
    if found["quoted"]:
        return re.escape(text.removeprefix(r"\Q").removesuffix(r"\E"))
    if found["class"]:
        return "[" + _IN_CLASS.sub(_like_in_class, text[1:-1]) + "]"
    if found["flags"]:
        return "(?:" if text.endswith(":") else ""
    replaced = [
        (found["set"], r"\w"),
        (found["plain"], "a"),
        (found["end"], r"\Z"),
        (found["name"], f"(?P<{found['name']}>"),
    ]
    return next((like for there, like in replaced if there), text)


def _like_in_class(token: re.Match[str]) -> str:
    if token["escape"]:
        raise _Refused(_why(token[0]))
    if token["set"] or token["open"]:
        return r"\w" if token["set"] else r"\["
    code = re.fullmatch(r"\\x\{?([0-9A-Fa-f]+)\}?", token[0])
    # As the character itself, so that the order of a range's ends is judged.
    return re.escape(chr(min(int(code[1], 16), 0x10FFFF))) if code else token[0]


def _why(text: str) -> str:
    if text.startswith("("):
        return f"'{text}': RE2 has no look-around, no conditions and no back-references"
    if text[1:].isdigit():
        return f"'{text}': RE2 has no back-references"
    return f"'{text}': RE2 has no such escape"
