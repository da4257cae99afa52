"""What every section of the Markdown report is made of: tables, folded parts, numbers."""

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
    """Markdown behind a line that opens it."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n</details>\n"


def count(number: int) -> str:
    """A number of rows."""
    return f"{number:,}" if number else "0"


def percent(rate: float) -> str:
    """A share."""
    return f"{rate * 100:.1f}%"


def share(part: int, whole: int) -> str:
    """A part of a whole, as a share."""
    return percent(part / whole) if whole else "–"
