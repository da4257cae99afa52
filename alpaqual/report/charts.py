"""Draws results as charts: Vega-Lite specifications as plain dicts.

Colours are variables of the page's style sheet (`var(--…)`), so that a chart follows light mode, dark mode and print. A specification
has no text of a row, no address and no expression made from data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from alpaqual.results.datasets import CategoryResult, CategoryScoreCount, DatasetResult, ScoreCount
from alpaqual.results.graders import ScoreScale

Spec = dict[str, Any]
Scores = Sequence[ScoreCount] | Sequence[CategoryScoreCount]

MOST_CATEGORIES = 60
"""Lines of a balance chart; the table below it has the rest."""

_BINS = 50
"""Bins that a run counts scores in, on a scale without steps."""

_FEW = 4
"""With at most this many bars the axis labels each of them."""

_MOST_NUMBERED = 15
"""With at most this many scores the cells of a confusion map show their number."""

_TALLEST = 560
"""Height of a confusion map in pixels, at most."""

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"

_CONFIG: Spec = {
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--quiet)",
        "titleColor": "var(--quiet)",
        "titleFontWeight": "normal",
        "titleFontSize": 11,
        "labelFontSize": 11,
        "gridColor": "var(--line)",
        "domainColor": "var(--strong-line)",
        "tickColor": "var(--strong-line)",
        "tickSize": 4,
    },
    "axisY": {"domain": False, "ticks": False, "titlePadding": 8},
    "axisX": {"grid": False},
}

_RATE: Spec = {
    "field": "rate",
    "type": "quantitative",
    "scale": {"zero": True, "nice": True},
    "axis": {"title": "keep rate", "format": "~%", "grid": True, "tickCount": 8, "labelFlush": False},
}


@dataclass(frozen=True)
class Bars:
    """The bars of a histogram and the range of its axis, in units of the score."""

    values: list[dict[str, float]]
    domain: tuple[float, float]
    before: float
    """Half the distance between scores: the line of a threshold is this far left of its score, left of all rows that it keeps."""

    @property
    def ticks(self) -> Spec:
        """The scores that the axis labels: those of the bars, where they are few."""
        scores = [value["score"] for value in self.values]
        return {"values": scores} if self.before and len(scores) <= _FEW else {"tickMinStep": 2 * self.before}


def bars(scores: Scores, scale: ScoreScale) -> Bars:
    """Return bars for counted scores: centred on discrete scores, edge to edge for scores counted in bins."""
    counted = sorted((each.score, each.rows) for each in scores)
    low, high = scale.min, scale.max
    low, high = min([low, *(score for score, _ in counted)]), max([high, *(score for score, _ in counted)])
    step = _step([score for score, _ in counted], scale)
    if step is None:
        width, before = ((high - low) or 1.0) / _BINS, 0.0
        domain = (low, high + width)
        after = width
    else:
        before = after = step / 2
        domain = (low - before, high + before)
        before, after = before * 0.84, after * 0.84
    values = [
        {"score": score, "rows": rows, "begin": round(score - before, 6), "end": round(score + after, 6)}
        for score, rows in counted
    ]
    return Bars(values, (round(domain[0], 6), round(domain[1], 6)), 0.0 if step is None else round(step / 2, 6))


def _step(observed: Sequence[float], scale: ScoreScale) -> float | None:
    """Return the distance between scores; None where scores are as close as bins."""
    if scale.step is not None:
        return scale.step
    span = scale.max - scale.min
    nearest = min((after - before for before, after in pairwise(observed)), default=span / 10)
    return nearest if nearest > span / _BINS * 4.5 else None


def histogram(scores: Scores, scale: ScoreScale, *, title: str, threshold: float | None = None) -> Spec:
    """Draw rows by score. Rows that the threshold keeps have the stronger colour; the page moves it by the parameter `threshold`."""
    found = bars(scores, scale)
    description = f"Rows by {title}"
    if threshold is None:
        return layered(150, description, [_bar_layer(found, title, {"value": "var(--kept)"})])
    colour = {"condition": {"test": "datum.score >= threshold", "value": "var(--kept)"}, "value": "var(--left)"}
    spec = layered(170, description, [_bar_layer(found, title, colour), *_threshold_layers(found)])
    spec["params"] = [{"name": "threshold", "value": threshold}]
    return spec


def _bar_layer(found: Bars, title: str, colour: Spec) -> Spec:
    x = {
        "field": "begin",
        "type": "quantitative",
        "scale": {"domain": list(found.domain), "nice": False},
        "axis": {"title": title, "format": "~g", "labelOverlap": True, **found.ticks},
    }
    y = {
        "field": "rows",
        "type": "quantitative",
        "axis": {"title": "rows", "format": ",d", "tickCount": 4, "tickMinStep": 1},
    }
    tooltip = [
        {"field": "score", "type": "quantitative", "format": "~g"},
        {"field": "rows", "type": "quantitative", "format": ",d"},
    ]
    encoding = {"x": x, "x2": {"field": "end"}, "y": y, "y2": {"datum": 0}, "color": colour, "tooltip": tooltip}
    return {"data": {"values": found.values}, "mark": {"type": "rect"}, "encoding": encoding}


def _threshold_layers(found: Bars) -> list[Spec]:
    """Draw the line of a threshold and the label above it."""
    line = "threshold" if not found.before else f"threshold - {found.before}"
    at = {"datum": {"expr": line}, "type": "quantitative"}
    rule = {"type": "rule", "color": "var(--mark)", "strokeWidth": 1.5, "aria": False}
    word = {
        "type": "text",
        "y": -5,
        "baseline": "bottom",
        "align": "center",
        "fontSize": 11,
        "fontWeight": 600,
        "color": "var(--mark)",
        "aria": False,
    }
    text = {"value": {"expr": "'≥ ' + format(threshold, '~g')"}}
    return [
        {"data": {"values": [{}]}, "mark": rule, "encoding": {"x": at}},
        {"data": {"values": [{}]}, "mark": word, "encoding": {"x": at, "text": text}},
    ]


def balanced(dataset: DatasetResult) -> list[tuple[str, CategoryResult]]:
    """Return the categories that have eligible rows, by their keep rate at the threshold alone, the lowest first."""
    eligible = [(name, counts) for name, counts in dataset.categories.items() if counts.eligible]
    return sorted(eligible, key=lambda each: (each[1].at_threshold / each[1].eligible, each[0]))


def balance(dataset: DatasetResult, labels: Mapping[str, str]) -> Spec | None:
    """Draw the keep rate of each category, by the threshold alone and after quotas, beside that of all rows.

    The legend is HTML of the page, which wraps on a narrow screen; Vega's would not.
    """
    shown = balanced(dataset)[:MOST_CATEGORIES]
    if not shown or not dataset.eligible:
        return None
    kinds = {"threshold": "at_threshold"}
    if dataset.quotas:
        kinds = {"threshold alone": "at_threshold", "after quotas": "rows"}
    points = [
        {
            "category": labels[name],
            "kind": kind,
            "rate": counts[key] / counts.eligible,
            "rows": counts[key],
            "of": counts.eligible,
        }
        for name, counts in shown
        for kind, key in kinds.items()
    ]
    whole = [{"kind": kind, "rate": dataset[key] / dataset.eligible} for kind, key in kinds.items()]
    layers = [_whole_layer(whole, kinds), *_category_layers(points, kinds)]
    return layered(20 * len(shown) + 4, "Keep rate of each category", layers)


def _whole_layer(whole: Sequence[Spec], kinds: Collection[str]) -> Spec:
    """Draw the keep rates of all rows as vertical lines."""
    mark = {"type": "rule", "color": "var(--mark)", "strokeWidth": 1.5}
    dashes = _by_kind(kinds, [[4, 3], [1, 0]])
    return {"data": {"values": whole}, "mark": mark, "encoding": {"x": _RATE, "strokeDash": dashes}}


def _category_layers(points: Sequence[Spec], kinds: Collection[str]) -> list[Spec]:
    """Draw the keep rates of each category as points on a line."""
    # A point at a rate of 0 is drawn over the axis: its label begins beside it.
    axis = {"title": None, "labelLimit": 180, "labelColor": "var(--ink)", "labelPadding": 9}
    y = {"field": "category", "type": "nominal", "sort": None, "axis": axis}
    tooltip = [
        {"field": "category", "type": "nominal"},
        {"field": "kind", "type": "nominal", "title": "kept by"},
        {"field": "rate", "type": "quantitative", "format": ".2%", "title": "keep rate"},
        *({"field": field, "type": "quantitative", "format": ",d"} for field in ("rows", "of")),
    ]
    line = {"type": "line", "color": "var(--kept)", "strokeWidth": 2, "aria": False}
    point = {"type": "point", "size": 55, "strokeWidth": 2, "opacity": 1, "stroke": "var(--kept)"}
    fill = _by_kind(kinds, ["var(--page)", "var(--kept)"] if len(kinds) > 1 else ["var(--kept)"])
    joined = {"x": _RATE, "y": y, "detail": {"field": "category", "type": "nominal"}}
    return [
        {"data": {"values": points}, "mark": line, "encoding": joined},
        {"data": {"values": points}, "mark": point, "encoding": {"x": _RATE, "y": y, "fill": fill, "tooltip": tooltip}},
    ]


def _by_kind(kinds: Collection[str], values: Sequence[Any]) -> Spec:
    return {
        "field": "kind",
        "type": "nominal",
        "scale": {"domain": list(kinds), "range": list(values)},
        "legend": None,
    }


def confusion_map(cells: Mapping[tuple[float, float], int], scores: Sequence[float], *, name: str, other: str) -> Spec:
    """Draw rows by the pair of scores of two graders: `cells` counts rows by (score, other's score), each one of `scores`."""
    most = max(cells.values())
    values = [
        {"score": score, "other": beside, "rows": rows, "shown": f"{rows:,}", "strong": 5 * rows > 3 * most}
        for (score, beside), rows in sorted(cells.items())
    ]
    labels = {"format": "~g", "labelAngle": 0, "labelOverlap": True, "domain": False, "ticks": False, "grid": False}
    domain = {"domain": list(scores)}
    encoding: Spec = {
        "x": {"field": "other", "type": "ordinal", "scale": domain, "axis": {"title": f"score of {other}", **labels}},
        "y": {
            "field": "score",
            "type": "ordinal",
            "scale": {"domain": list(reversed(scores))},
            "axis": {"title": f"score of {name}", **labels},
        },
    }
    numbered = len(scores) <= _MOST_NUMBERED
    frame = {"type": "rect", "filled": False, "stroke": "var(--mark)", "strokeWidth": 1, "aria": False}
    same = {"data": {"values": [{"score": score, "other": score} for score in scores]}, "mark": frame}
    layers = _confusion_layers({"data": {"values": values}}, encoding, (name, other), most)
    height = min(_TALLEST, (26 if numbered else 12) * len(scores))
    # Frames are drawn after the cells, which would cover half of each frame.
    shown = [layers[0], {**same, "encoding": encoding}, *(layers[1:] if numbered else ())]
    return layered(height, f"Rows by score of {name} and of {other}", shown)


def _confusion_layers(data: Spec, encoding: Spec, names: tuple[str, str], most: int) -> list[Spec]:
    """Draw a cell for each pair of scores, the stronger the more rows it has, and the numbers in the cells."""
    fill = {
        "field": "rows",
        "type": "quantitative",
        "scale": {"type": "sqrt", "domain": [0, most], "range": [0, 1]},
        "legend": None,
    }
    tooltip = [
        *(
            {"field": field, "type": "ordinal", "format": "~g", "title": name}
            for field, name in zip(("score", "other"), names, strict=True)
        ),
        {"field": "rows", "type": "quantitative", "format": ",d"},
    ]
    rect = {"type": "rect", "fill": "var(--kept)", "stroke": "var(--page)", "strokeWidth": 1}
    colour = {"condition": {"test": "datum.strong", "value": "var(--page)"}, "value": "var(--ink)"}
    word = {"type": "text", "fontSize": 11, "aria": False}
    return [
        {**data, "mark": rect, "encoding": {**encoding, "fillOpacity": fill, "tooltip": tooltip}},
        {**data, "mark": word, "encoding": {**encoding, "text": {"field": "shown"}, "color": colour}},
    ]


def layered(height: int, description: str, layers: Sequence[Spec]) -> Spec:
    """Return a chart of layers, as wide as the element that holds it; `height` is in pixels."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": description,
        "width": "container",
        "height": height,
        "background": None,
        "padding": 2,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "layer": list(layers),
        "config": _CONFIG,
    }
