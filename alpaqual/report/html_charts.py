"""Charts on the page: the places that its script draws into, and a histogram with its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alpaqual.report.charts import Spec
from alpaqual.report.markup import Child, Html, count, folded, percent, table, tag

_FEW = 4
"""Bars that would be absurdly wide across the page."""


class Charts:
    """What the page's script needs: charts by the id of their element, and the thresholds that it moves."""

    def __init__(self) -> None:
        self.specs: dict[str, Spec] = {}
        self.thresholds: list[dict[str, Any]] = []

    def add(self, spec: Spec) -> str:
        """The id of the element that the chart is drawn into."""
        ident = f"chart-{len(self.specs)}"
        self.specs[ident] = spec
        return ident


def place(chart: str) -> Html:
    """The element that a chart is drawn into."""
    return tag("div", id=chart, class_="chart")


def histogram_figure(chart: str, caption: Child, scores: Sequence[Mapping[str, Any]]) -> Html:
    """A histogram with its numbers, for those who cannot see it."""
    numbers = folded("numbers", _score_table(scores), class_="numbers")
    few = "few" if len(scores) <= _FEW else None
    return tag("figure", tag("figcaption", caption), place(chart), numbers, class_=few)


def _score_table(scores: Sequence[Mapping[str, Any]]) -> Html:
    scored = sum(each["rows"] for each in scores)
    body = [[f"{each['score']:g}", count(each["rows"]), percent(each["rows"], scored)] for each in scores]
    return table(["score", "rows", "of scored"], body, words=(), label="Rows by score")
