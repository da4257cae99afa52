"""Shows rows as cards for a terminal of any width: id, fates and reasons, scores, categories, texts."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_NARROWEST = 20
_MOST = 1200
"""Characters of a text that a card shows."""
_BAR = "  │ "
_BREAKS = {ord(c): f"⟨U+{ord(c):04X}⟩" for c in "\r\u2028\u2029"}
"""Line breaks that a terminal or a reader might take for a line of alpaqual's."""
_TEXTS = ("instruction", "input", "response")


def terminal_width() -> int:
    """The columns of the terminal, or of the variable COLUMNS; 80 for a file or a pipe."""
    return shutil.get_terminal_size((80, 24)).columns


def cards(rows: Sequence[dict[str, Any]], width: int) -> Iterator[str]:
    """Yield each row as a card, of lines of at most `width` columns (at least 20).

    Entries of one row in several datasets follow each other and share a card.
    """
    width = max(width, _NARROWEST)
    for entries in _by_row(rows):
        yield "\n".join(_guarded(line) for line in _card(entries, width)) + "\n"


def _by_row(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    card: list[dict[str, Any]] = []
    for row in rows:
        same = card and all(row.get(key) == card[0].get(key) for key in ("id", "source", "scores", *_TEXTS))
        if card and (not same or any(row["dataset"] == entry["dataset"] for entry in card)):
            yield card
            card = []
        card.append(row)
    if card:
        yield card


def _card(entries: Sequence[dict[str, Any]], width: int) -> Iterator[str]:
    row = entries[0]
    own = row.get("own_id")
    shown = "" if own is None else f", id {own if isinstance(own, str) else json.dumps(own, ensure_ascii=False)}"
    yield from _wrap(f"row {_one_line(row['id'] + shown)}", width, "", "    ")
    for entry in entries:
        # The one reason of a row that is not sampled is its fate.
        said = entry["fate"].replace("_", " ")
        reasons = "; ".join(reason for reason in entry["reasons"] or () if reason != said)
        why = f": {reasons}" if reasons else ""
        yield from _wrap(_one_line(f"{entry['dataset']}: {entry['fate']}{why}"), width, "  ", "    ")
    turns, raw = row.get("turn_scores") or {}, row.get("raw_scores") or {}
    scores = ", ".join(
        f"{grader} {_score(score)}{_raw(raw.get(grader))}{_turns(turns.get(grader, ()))}"
        for grader, score in (row.get("scores") or {}).items()
    )
    given = {reason for entry in entries for reason in entry["reasons"] or ()}
    fails = ", ".join(rule for rule in row.get("failed_rules") or () if f"rule {rule}" not in given)
    for label, line in (
        ("scores", scores),
        ("fails rules", fails),
        ("categories", ", ".join(row.get("categories") or ())),
    ):
        if line:
            yield from _wrap(f"{label}: {_one_line(line)}", width, "  ", "    ")
    for field in _TEXTS:
        if row[field]:
            yield f"  {field}"
            yield from _text(str(row[field]), width)
        elif field != "input":
            yield f"  {field}: empty"


def _score(score: float | None) -> str:
    return "no score" if score is None else format(score, "g")


def _raw(score: float | None) -> str:
    """The score that a calibration started from, behind its own."""
    return "" if score is None else f" (raw {score:g})"


def _turns(turns: Sequence[dict[str, Any]]) -> str:
    """The scores of single turns, behind that of the row."""
    listed = ", ".join(f"turn {each['turn']}: {_score(each['score'])}" for each in turns)
    return f" ({listed})" if listed else ""


def _text(text: str, width: int) -> Iterator[str]:
    for line in _shown(text[:_MOST]).split("\n"):
        yield from _wrap(line, width, _BAR, _BAR)
    if (more := len(text) - _MOST) > 0:
        yield from _wrap(f"… {more:,} more characters: --format json shows them", width, "  ", "  ")


def _shown(text: str) -> str:
    from alpaqual.report.escape import visible

    return visible(text.replace("\r\n", "\n").expandtabs(4).translate(_BREAKS))


def _one_line(text: str) -> str:
    return _shown(" ".join(str(text).split()))


def _wrap(line: str, width: int, first: str, then: str) -> Iterator[str]:
    """Yield a line in parts that fit, broken at spaces where there are some. Wide characters take two columns."""
    from rich.cells import cell_len

    indent, rest = first, line
    while cell_len(indent) + cell_len(rest) > width:
        fits = _fitting(rest, width - cell_len(indent))
        # Spaces at the start indent the line: they are no place to break it.
        space = rest.rfind(" ", len(rest) - len(rest.lstrip(" ")) + 1, fits + 1)
        end = space if space > 0 else fits
        yield (indent + rest[:end]).rstrip(" ")
        indent, rest = then, rest[end + 1 :] if space > 0 else rest[end:]
    yield (indent + rest).rstrip(" ")


def _fitting(text: str, width: int) -> int:
    """How many characters of a text fit; at least one."""
    from rich.cells import get_character_cell_size

    for at, character in enumerate(text):
        width -= get_character_cell_size(character)
        if width < 0:
            return max(at, 1)
    return len(text)


def _guarded(line: str) -> str:
    """In the log of a GitHub workflow a line that starts with `::` or `##[` is a command, also after spaces."""
    return re.sub(r"^( *) (?=::|##\[)", r"\1│", line)
