"""Writes YAML that says what it was given, whatever a recipe's strings hold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
"""What YAML 1.1 reads as something else than a text."""
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""JSON leaves these as they are; YAML takes them for the end of a line, or not at all."""


def document(comment: Iterable[str], values: Mapping[str, Any]) -> str:
    """A YAML document under a comment, one key a line; each line of the comment becomes one."""
    said = [f"# {line}".rstrip() for line in comment]
    return "\n".join([*said, *_mapping(values, "")]) + "\n"


def quoted(text: str) -> str:
    """A text in double quotes, on one line, as both YAML and JSON read it; safe in a comment too."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def _mapping(values: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in values.items():
        name = key if _PLAIN.fullmatch(key) and key not in _WORDS else quoted(key)
        lines += _entry(f"{indent}{name}:", value, indent + "  ")
    return lines


def _entry(head: str, value: Any, indent: str) -> list[str]:
    """The lines of a value behind its key or its dash."""
    if isinstance(value, Mapping) and value:
        return [head, *_mapping(value, indent)]
    if isinstance(value, list | tuple) and value:
        return [head, *(line for item in value for line in _item(item, indent))]
    return [f"{head} {_scalar(value)}"]


def _item(value: Any, indent: str) -> list[str]:
    if isinstance(value, Mapping) and value:
        first, *rest = _mapping(value, indent + "  ")
        return [f"{indent}- {first.lstrip()}", *rest]
    return _entry(f"{indent}-", value, indent + "  ")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no number to train with")
        digits, power, exponent = repr(value).partition("e")
        # 2e-05 is a text to YAML 1.1, 2.0e-05 a number.
        return f"{digits if '.' in digits else digits + '.0'}{power}{exponent}"
    return json.dumps(value)
