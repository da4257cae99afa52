"""Draws the winning score by the size of nested datasets, as the paper's figure 2 does, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alpaqual.report.charts import Spec, layered
from alpaqual.results.evaluation import SizePoint

_HEIGHT = 260
_APART = 5
"""Pixels between the points of two lines, so that their intervals are beside each other."""

COLOURS = ("kept", "fourth", "ink", "quiet")
"""Colours of the lines; that of the line at 1 is not among them."""
MOST_LINES = len(COLOURS)
"""Test sets of a chart; the table has the rest."""


def size_chart(points: Sequence[SizePoint], labels: Mapping[str | None, str]) -> Spec:
    """Draw a line for each test set, with the line of equal models at 1; the smallest dataset that reaches the whole set is full.

    `labels` has the name of each test set, as it is shown.
    """
    drawn = list(dict.fromkeys(point.test_set for point in points))[:MOST_LINES]
    values = [
        {
            "line": drawn.index(point.test_set),
            "test set": labels[point.test_set],
            "rows": point.rows,
            "score": point.winning_score,
            "low": point.interval[0],
            "high": point.interval[1],
            "reaches": point.reaches,
        }
        for point in sorted(points, key=lambda point: point.rows)
        if point.test_set in drawn
    ]
    layers = [_equal(), *_lines(values, len(drawn)), _words(drawn, values, labels)]
    spec = layered(_HEIGHT, "Winning score by rows of the dataset", layers)
    width = min(150, 7 * max(len(labels[each]) for each in drawn)) + 8
    return {**spec, "padding": {"left": 2, "top": 4, "right": width, "bottom": 2}}


def _equal() -> Spec:
    mark = {"type": "rule", "color": "var(--mark)", "strokeWidth": 1.5, "aria": False}
    return {
        "data": {"values": [{"score": 1}]},
        "mark": mark,
        "encoding": {"y": {"field": "score", "type": "quantitative"}},
    }


_X: Spec = {
    "field": "rows",
    "type": "quantitative",
    "scale": {"zero": True, "nice": True},
    "axis": {"title": "rows of the dataset", "format": ",d", "tickCount": 6},
}


def _y(field: str) -> Spec:
    axis = {"title": "winning score", "format": ".2f", "tickCount": 5}
    return {"field": field, "type": "quantitative", "scale": {"zero": False}, "axis": axis}


def _lines(values: Sequence[Any], many: int) -> list[Spec]:
    return [
        layer
        for index in range(many)
        for layer in _line([each for each in values if each["line"] == index], index, many)
    ]


def _line(values: Sequence[Any], index: int, many: int) -> list[Spec]:
    """Draw a line with its points and intervals, moved sideways from the other lines."""
    data, colour = {"values": values}, f"var(--{COLOURS[index]})"
    moved = {"xOffset": _APART * (index - (many - 1) / 2), "stroke": colour}
    tooltip = [
        {"field": "test set", "type": "nominal"},
        {"field": "rows", "type": "quantitative", "format": ",d"},
        {"field": "score", "type": "quantitative", "format": ".3f", "title": "winning score"},
        {"field": "low", "type": "quantitative", "format": ".3f", "title": "95% interval from"},
        {"field": "high", "type": "quantitative", "format": ".3f", "title": "to"},
    ]
    fill = {"condition": {"test": "datum.reaches", "value": colour}, "value": "var(--page)"}
    at = {"x": _X, "y": _y("score")}
    return [
        {"data": data, "mark": {"type": "line", "strokeWidth": 2, "aria": False, **moved}, "encoding": at},
        {
            "data": data,
            "mark": {"type": "rule", "strokeWidth": 1.5, "opacity": 0.6, "aria": False, **moved},
            "encoding": {"x": _X, "y": _y("low"), "y2": {"field": "high"}},
        },
        {
            "data": data,
            "mark": {"type": "point", "size": 70, "strokeWidth": 2, "opacity": 1, **moved},
            "encoding": {**at, "fill": fill, "tooltip": tooltip},
        },
    ]


def _words(drawn: Sequence[str | None], values: Sequence[Any], labels: Mapping[str | None, str]) -> Spec:
    """Draw the name of each test set after its last point."""
    ends = [
        {**[value for value in values if value["line"] == index][-1], "name": labels[test_set]}
        for index, test_set in enumerate(drawn)
    ]
    mark = {
        "type": "text",
        "align": "left",
        "baseline": "middle",
        "dx": 14,
        "limit": 150,
        "fontSize": 12,
        "aria": False,
    }
    colours = [f"var(--{each})" for each in COLOURS[: len(drawn)]]
    fill = {
        "field": "line",
        "type": "nominal",
        "scale": {"domain": list(range(len(drawn))), "range": colours},
        "legend": None,
    }
    encoding = {"x": _X, "y": _y("score"), "text": {"field": "name"}, "fill": fill}
    return {"data": {"values": ends}, "mark": mark, "encoding": encoding}
