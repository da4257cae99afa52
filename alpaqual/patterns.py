"""Regular expressions of RE2, the library that a run uses: checked before anything runs."""

from __future__ import annotations

import re
import warnings

_SHARED = r"\\(?:x(?:[0-9A-Fa-f]{2}|\{[0-9A-Fa-f]{1,6}\})|0[0-7]{0,2}|[1-7][0-7]{1,2}|[aftnrv]|[^\w\\]|_|\\)"
_SET = r"\\[dDsSwW]|\\[pP](?:\{\^?[A-Za-z_]+\}|[A-Z])"
_TOKEN = (
    r"(?s)(?P<quoted>\\Q.*?(?:\\E|\Z))"
    r"|(?P<class>\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\])"
    rf"|(?P<set>{_SET})|(?P<plain>{_SHARED}|\\[bBAC])|(?P<end>\\z)|(?P<escape>\\.?)"
    r"|\(\?(?:P<(?P<name>\w+)>|(?P<flags>[imsU]*(?:-[imsU]+)?[:)]))"
    r"|(?P<group>\(\?(?:P?.)?[=!]?)"
    r"|(?:[*+?]|\{(?P<low>\d+)(?:,(?P<high>\d*))?\})\??(?P<twice>[+*?])?"
)
"""A text, as `_IN_CLASS`: few processes need the patterns, and `re` compiles them in milliseconds."""
_POSIX = "alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit"
_IN_CLASS = (
    rf"(?s)(?P<set>{_SET}|\[:\^?(?:{_POSIX}):\])|(?P<plain>{_SHARED})|(?P<escape>\\.|\[:\^?[a-z]+:\])|(?P<open>\[)"
)
_MAX_REPEATS = 1000


def pattern_problem(pattern: str) -> str:
    """The reason why RE2 cannot read a pattern, or nothing.

    Syntax that only RE2 has is replaced by an equivalent of Python's, whose parser then judges the whole.
    """
    try:
        translated = re.sub(_TOKEN, _python_token, pattern)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(translated)
    except _UnsupportedSyntax as unsupported:
        return str(unsupported)
    except (re.error, RecursionError, OverflowError) as error:
        return f"not a regular expression: {getattr(error, 'msg', error)}"
    return ""


class _UnsupportedSyntax(ValueError):  # noqa: N818 - raised and caught in this file
    """The reason why RE2 cannot read a part of a pattern."""


def _python_token(token: re.Match[str]) -> str:
    """The equivalent, in Python's syntax, of one token of an RE2 pattern."""
    text, found = token[0], token.groupdict()
    if found["escape"] or found["group"]:
        raise _UnsupportedSyntax(_unsupported(text))
    if found["twice"]:
        raise _UnsupportedSyntax(f"'{text}': RE2 has no possessive or repeated repetition")
    if max(int(found["low"] or 0), int(found["high"] or 0)) > _MAX_REPEATS:
        raise _UnsupportedSyntax(f"'{text}': RE2 repeats at most {_MAX_REPEATS:,} times")
    if found["quoted"]:
        return re.escape(text.removeprefix(r"\Q").removesuffix(r"\E"))
    if found["class"]:
        return "[" + re.sub(_IN_CLASS, _python_class_token, text[1:-1]) + "]"
    if found["flags"]:
        return "(?:" if text.endswith(":") else ""
    replaced = [
        (found["set"], r"\w"),
        (found["plain"], "a"),
        (found["end"], r"\Z"),
        (found["name"], f"(?P<{found['name']}>"),
    ]
    return next((python for found_here, python in replaced if found_here), text)


def _python_class_token(token: re.Match[str]) -> str:
    if token["escape"]:
        raise _UnsupportedSyntax(_unsupported(token[0]))
    if token["set"] or token["open"]:
        return r"\w" if token["set"] else r"\["
    code = re.fullmatch(r"\\x\{?([0-9A-Fa-f]+)\}?", token[0])
    # As the character itself, so that the order of a range's ends is judged.
    return re.escape(chr(min(int(code[1], 16), 0x10FFFF))) if code else token[0]


def _unsupported(text: str) -> str:
    if text.startswith("("):
        return f"'{text}': RE2 has no look-around, no conditions and no back-references"
    if text[1:].isdigit():
        return f"'{text}': RE2 has no back-references"
    return f"'{text}': RE2 has no such escape"
