"""The slots of a prompt template: `[instruction]`, `[column:NAME]` of the source, `[score:GRADER]` of an earlier grader."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

COLUMN, SCORE = "column", "score"
MISSING = "None"
"""What a slot shows of a null and of a row without that score, as the paper's examples show an empty input (appendix F)."""

_FIXED = "instruction|input|response|conversation|dimension|min|max"
_NAMED = rf"(?P<kind>{COLUMN}|{SCORE}):\s*(?P<name>[^\[\]\n]{{1,200}}?)\s*"
_NAMED_SLOT = re.compile(rf"\[{_NAMED}\]", re.IGNORECASE)


def named_slots(template: str) -> list[tuple[str, str]]:
    """The (kind, name) of each slot that names a column or a grader, each once, in their order."""
    found = ((match["kind"].lower(), match["name"]) for match in _NAMED_SLOT.finditer(template))
    return list(dict.fromkeys(found))


def names_in(template: str, kind: str) -> list[str]:
    """The columns (`column`) or graders (`score`) that a template names."""
    return [name for found, name in named_slots(template) if found == kind]


def slot_key(kind: str, name: str) -> str:
    """The key of such a slot among the values of a row."""
    return f"{kind}:{name}"


def split_template(text: str) -> tuple[str, str]:
    """The system and user part of a prompt file, separated by a line of three dashes; without one, all of it is the user part."""
    system, dashes, user = text.partition("\n---\n")
    return (system.strip(), user.strip()) if dashes else ("", text.strip())


def fill(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled in one pass: the name of a slot inside a row's text stays text.

    `slots` has the fixed slots, those of a grader's own (`levels`, `scores`) where it has them, and one for each named slot.
    """
    own = tuple(slot for slot in ("levels", "scores") if slot in slots)

    def value(match: re.Match[str]) -> str:
        if match["kind"]:
            return slots.get(slot_key(match["kind"].lower(), match["name"]), MISSING)
        return slots[match["fixed"].lower()]

    return _slots(own).sub(value, template)


@functools.cache
def _slots(own: tuple[str, ...]) -> re.Pattern[str]:
    """The pattern of all slots; `own` names those that only some graders have."""
    return re.compile(rf"\[(?:(?P<fixed>{'|'.join((_FIXED, *own))})|{_NAMED})\]", re.IGNORECASE)
