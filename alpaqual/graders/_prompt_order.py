"""Orders a prompt for the caches of providers, which keep the beginning that requests have in common."""

from __future__ import annotations

import re

_OF_ROW = re.compile(r"\[(?:instruction|input|response|conversation|(?:column|score):[^\]\n]+)\]", re.IGNORECASE)
"""Slots that each row fills with another text."""
_DESCRIBED = re.compile(r"\[(?:levels|scores)\]", re.IGNORECASE)
"""Slots of a list that is the same for every row."""
_BETWEEN_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
_SENTENCE = re.compile(r"[.!?。！？؟।…][\"'”’»)\]*_`]*$")
"""The end of a paragraph that says something by itself; a label, a mark or a heading belongs to what is beside it."""


def constant_first(system: str, user: str) -> tuple[str, str]:
    """A template as (what is the same for every row, the rest): the sentences around the row's slots come before them.

    Paragraphs stay whole. Labels and marks beside a slot ("Response:", "</row>") stay there, and so does a last line that the
    reply follows ("Score:").
    """
    parts = [part for text in (system, user) for part in _BETWEEN_PARAGRAPHS.split(text) if part.strip()]
    rows = [number for number, part in enumerate(parts) if _OF_ROW.search(part)]
    if not rows:
        return system, user
    first, last = rows[0], rows[-1] + 1
    while first and not _says(parts[first - 1]):
        first -= 1
    while last < len(parts) and not _says(parts[last]):
        last += 1
    end = len(parts)
    while end > last and not _says(parts[end - 1]):
        end -= 1
    return "\n\n".join(parts[:first] + parts[last:end]), "\n\n".join(parts[first:last] + parts[end:])


def _says(part: str) -> bool:
    """Whether a paragraph says something by itself."""
    return _SENTENCE.search(part.rstrip()) is not None or _DESCRIBED.search(part) is not None
