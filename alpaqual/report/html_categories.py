"""Lists the categories with their rows, in all and by keyword."""

from __future__ import annotations

from alpaqual.report.markup import NOTHING, Child, Html, count, folded, join, note, percent, records, tag
from alpaqual.results.results import CategoryCount, Results

MOST_LISTED = 200
"""Categories in a table; results.json has the rest."""

_MOST_OPEN = 12
"""A table of more categories is folded."""


def category_table(results: Results) -> Html:
    """Return a table of the categories, the largest first."""
    categories = results.categories
    if not categories:
        return NOTHING
    largest = sorted(categories.items(), key=lambda each: (-each[1].rows, each[0]))
    with_keywords = any(each.keywords for each in categories.values())
    rows = [_row(name, each, results.source.rows, with_keywords) for name, each in largest[:MOST_LISTED]]
    meaning = "A row may be in several categories. Keyword hits add up the rows of each keyword: a row with two keywords counts twice."
    content = [
        records(rows, words=("category", "by keyword"), label="Categories"),
        note(meaning) if with_keywords else NOTHING,
        smaller(len(largest) - len(rows)),
    ]
    if len(rows) <= _MOST_OPEN:
        return join(content)
    return folded(f"The {count(len(largest))} categories and their rows", *content)


def smaller(left_out: int) -> Html:
    """Return a note that counts the categories left out of a table."""
    return note(f"… and {count(left_out)} smaller categories: see results.json.") if left_out > 0 else NOTHING


def _row(name: str, category: CategoryCount, rows: int, with_keywords: bool) -> dict[str, Child]:
    cells: dict[str, Child] = {
        "category": tag("span", name, title=category.description or None),
        "rows": count(category.rows),
        "of all rows": percent(category.rows, rows),
    }
    if with_keywords:
        words = [join([tag("code", word), " ", count(hits)]) for word, hits in category.keywords.items()]
        cells["keyword hits"] = count(category.keyword_hits) if words else ""
        cells["by keyword"] = join(words, ", ")
    return cells
