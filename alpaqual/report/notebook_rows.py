"""Tables of a run that show themselves: one line in Python, the first rows in a notebook."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from alpaqual.report.markup import Html, count, tag
from alpaqual.store import tables

_MOST_ROWS = 5
_MOST_COLUMNS = 12
_LONGEST = 80
"""Characters of a value; the rest is cut."""
_CELL = "text-align:left;vertical-align:top;white-space:pre-wrap"


@dataclass(frozen=True, repr=False)
class Rows(tables.Rows):
    """A table in a file, as a frame of polars, Arrow or pandas; `len` counts its rows, and `first` has some of them."""

    def __repr__(self) -> str:
        if not self.exists:
            return f"<Rows {self.path}: it is no longer there>"
        columns = list(next(iter(self.first(1)), {}))
        shown = columns[:_MOST_COLUMNS] + (["…"] if len(columns) > _MOST_COLUMNS else [])
        return f"<Rows {self.path}: {len(self):,} rows{' of ' * bool(shown)}{', '.join(shown)}>"

    def _repr_html_(self) -> str:
        if not self.exists:
            return tag("p", tag("code", str(self.path)), " is no longer there")
        found, every = self.first(_MOST_ROWS), len(self)
        columns = list(dict.fromkeys(column for row in found for column in row))[:_MOST_COLUMNS]
        head = tag("tr", *(tag("th", column, style=_CELL) for column in columns))
        body = [tag("tr", *(tag("td", _shown(row.get(column)), style=_CELL) for column in columns)) for row in found]
        parts = [tag("p", f"{count(every)} rows in ", tag("code", str(self.path)))]
        if found:
            parts.append(tag("table", tag("thead", head), tag("tbody", *body)))
        if every > len(found):
            parts.append(tag("p", f"… and {count(every - len(found))} more"))
        return tag("div", *parts)


def _shown(value: Any) -> str | Html:
    """A value as text, cut."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
