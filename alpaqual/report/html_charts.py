"""Charts on the page: the elements that its script draws into, and a histogram with its numbers."""

from __future__ import annotations

from typing import Any

from alpaqual.report.charts import Scores, Spec
from alpaqual.report.markup import Child, Html, count, folded, percent, table, tag

_FEW = 4
"""A chart of at most this many bars is narrower than the page."""


class Charts:
    """The data of the page's script: charts by the id of their element, and the threshold sliders."""

    def __init__(self) -> None:
        self.specs: dict[str, Spec] = {}
        self.thresholds: list[dict[str, Any]] = []

    def add(self, spec: Spec) -> str:
        """Add a chart and return the id of its element."""
        ident = f"chart-{len(self.specs)}"
        self.specs[ident] = spec
        return ident


def place(chart: str) -> Html:
    """Return the element that a chart is drawn into."""
    return tag("div", id=chart, class_="chart")


def histogram_figure(chart: str, caption: Child, scores: Scores) -> Html:
    """Return a histogram with a table of its numbers, for readers who cannot see it."""
    numbers = folded("numbers", _score_table(scores), class_="numbers")
    few = "few" if len(scores) <= _FEW else None
    return tag("figure", tag("figcaption", caption), place(chart), numbers, class_=few)


def _score_table(scores: Scores) -> Html:
    scored = sum(each.rows for each in scores)
    body = [[f"{each.score:g}", count(each.rows), percent(each.rows, scored)] for each in scores]
    return table(["score", "rows", "of scored rows"], body, words=(), label="Rows by score")
