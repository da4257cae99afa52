"""The categories: how many rows each has, and by which keyword."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpaqual.report.markup import NOTHING, Child, Html, count, folded, join, note, percent, records, tag

MOST_LISTED = 200
"""Categories in a table; results.json has the rest."""

_MOST_OPEN = 12
"""Categories in a table that is not folded."""


def category_table(results: Mapping[str, Any]) -> Html:
    """The categories, the largest first."""
    categories: Mapping[str, Any] = results.get("categories", {})
    if not categories:
        return NOTHING
    largest = sorted(categories.items(), key=lambda each: (-each[1]["rows"], each[0]))
    with_keywords = any(each["keywords"] for each in categories.values())
    rows = [_row(name, each, results["source"]["rows"], with_keywords) for name, each in largest[:MOST_LISTED]]
    meaning = "A row may be in several categories. Keyword hits add up the rows that hold each keyword, so one row may count more than once."
    content = [
        records(rows, words=("category", "by keyword"), label="Categories"),
        note(meaning) if with_keywords else NOTHING,
        smaller(len(largest) - len(rows)),
    ]
    if len(rows) <= _MOST_OPEN:
        return join(content)
    return folded(f"The {count(len(largest))} categories and their rows", *content)


def smaller(left_out: int) -> Html:
    """Where the categories are that a table has no room for."""
    return note(f"… and {count(left_out)} smaller categories: see results.json.") if left_out > 0 else NOTHING


def _row(name: str, category: Mapping[str, Any], rows: int, with_keywords: bool) -> dict[str, Child]:
    cells: dict[str, Child] = {
        "category": tag("span", name, title=category["description"] or None),
        "rows": count(category["rows"]),
        "of all rows": percent(category["rows"], rows),
    }
    if with_keywords:
        words = [join([tag("code", word), " ", count(hits)]) for word, hits in category["keywords"].items()]
        cells["keyword hits"] = count(category["keyword_hits"]) if words else ""
        cells["by keyword"] = join(words, ", ")
    return cells
