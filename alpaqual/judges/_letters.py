"""Reads a verdict by letter: `[[A]]`, `[[B]]`, or `[[C]]` for a tie.

The verdict comes after the explanation, so where a reply has several the last line decides. A verdict in quotation marks is a
quotation: of the prompt, or of an answer.
"""

from __future__ import annotations

import re

from alpaqual.judges._reading import TAG, Said
from alpaqual.values import Winner

NO_VERDICT = "no verdict"
VERDICTS_DIFFER = "verdicts that differ"
_WINNERS: dict[str, Winner] = {"a": "first", "b": "second", "c": "tie"}
_LETTER = r"(?:assistant\s+|answer\s+|option\s+)?(?P<letter>[ABC]|tie)"
_MARKED = re.compile(
    rf"(?P<quote>[\"'“‘`«])?[*_ ]{{0,4}}\[\[[*_ ]{{0,4}}{_LETTER}[*_ ]{{0,4}}\]\][*_ ]{{0,4}}(?P<closing>[\"'”’`»])?",
    re.IGNORECASE,
)
_LABEL = (
    r"(?:(?:so|thus|therefore|overall|my|the|final|verdict|decision|judge?ment|winner|answer|choice|result|output|is|better|best|assistant)"
    r"[\s,:*_=\"'-]+)*"
)
_ALONE = re.compile(
    rf"[*_#>`\s{{(\"'“‘]*{_LABEL}[*_`\s\"'“‘]*\[{{0,2}}[*_\s]*{_LETTER}[*_\s]*\]{{0,2}}[*_`\s.!)}}\"'”’]*",
    re.IGNORECASE,
)
_ENDS = re.compile(r"\]\][^\w\[]*\Z")
_BOXED = re.compile(r"\\boxed ?\{(?:\\(?:text|mathrm|mathbf) ?\{)?([^{}]{1,20})\}{1,2}")
_MAX_ALONE = 200
"""Characters of a line that is a verdict alone, at most."""


def read_letter(text: str) -> Said | str:
    """The winner that a reply names, or the reason for none."""
    lines = [line for line in map(str.strip, TAG.sub("", _BOXED.sub(r"[[\1]]", text)).splitlines()) if line.strip("`")]
    if not lines:
        return NO_VERDICT
    marked = [_verdicts(line) for line in lines]
    if not any(marked):
        # The prompt has the form in quotation marks, and some judges repeat them.
        marked[-1] = _verdicts(lines[-1], quoted=True)
    letters = {letter for each in marked for letter in each}
    if not letters:
        return _alone(lines)
    first, last = _only(lines[0]), marked[-1]
    if len(letters) == 1:
        # In a reply that was cut, a verdict in the middle may be about the form.
        return Said(_WINNERS[letters.pop()], open=not (last and _ENDS.search(lines[-1])) and first is None)
    if len(last) == 1 and (first is None or {first} == last):
        return Said(_WINNERS[next(iter(last))])
    return VERDICTS_DIFFER


def _verdicts(line: str, *, quoted: bool = False) -> set[str]:
    """The different verdicts of a line; those in quotation marks where `quoted`, or where the line has nothing else."""
    quoted = quoted or _only(line) is not None
    return {_letter(match) for match in _MARKED.finditer(line) if quoted or not (match["quote"] and match["closing"])}


def _letter(match: re.Match[str]) -> str:
    letter = match["letter"].casefold()
    return "c" if letter == "tie" else letter


def _only(line: str) -> str | None:
    """The verdict of a line that has nothing else."""
    found = _ALONE.fullmatch(line) if len(line) <= _MAX_ALONE else None
    return None if found is None else _letter(found)


def _alone(lines: list[str]) -> Said | str:
    """The verdict of a first or last line that is nothing but a letter and its label."""
    found = {letter for line in (lines[0], lines[-1]) if (letter := _only(line)) is not None}
    if len(found) > 1:
        return VERDICTS_DIFFER
    return Said(_WINNERS[found.pop()]) if found else NO_VERDICT
