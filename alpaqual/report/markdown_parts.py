"""Parts that the sections of the Markdown report share: tables, folded blocks, numbers."""

from __future__ import annotations

from collections.abc import Sequence

MOST_LISTED = 50
"""Lines of a table or a list; what comes after is counted."""


def table(header: Sequence[str], body: Sequence[Sequence[str]], *, words: Sequence[int] = (0,)) -> str:
    """A table whose cells are Markdown already; the columns in `words` on the left, numbers on the right."""
    marks = [":--" if index in words else "--:" for index in range(len(header))]
    rows = ["| " + " | ".join(cells) + " |" for cells in (header, marks, *body)]
    return "\n".join(rows) + "\n"


def folded(summary: str, body: str) -> str:
    """Return Markdown that opens from a summary line."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n</details>\n"


def count(number: int) -> str:
    """Return a number of rows."""
    return f"{number:,}" if number else "0"


def percent(rate: float) -> str:
    """Return a share as a percentage."""
    return f"{rate * 100:.1f}%"


def share(part: int, whole: int) -> str:
    """Return a part of a whole as a percentage, or a dash where the whole is empty."""
    return percent(part / whole) if whole else "–"
