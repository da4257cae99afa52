"""Results -> charts: Vega-Lite specifications as plain dicts, and what another threshold would keep.

Colours are names of the page's style sheet (`var(--…)`), so that a chart follows light, dark and paper by itself. A specification
holds no text of a row, no address and no expression made from data.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

Spec = dict[str, Any]
Scores = Sequence[Mapping[str, Any]]
"""Counted scores: dicts of `score` and `rows`."""

MOST_CATEGORIES = 60
"""Lines of a balance chart; the table beside it has the rest."""

_BINS = 50
"""Bars that a run counts on a scale without steps."""

_FEW = 4
"""Bars that an axis names each on its own."""

_FINE = 200
"""Most stops of a slider that are made of a scale's steps."""

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


@dataclass(frozen=True)
class Bars:
    """A histogram: where each bar begins and ends, and the axis that they stand on."""

    values: list[dict[str, float]]
    domain: tuple[float, float]
    before: float
    """How far before its score a bar begins: the line of a threshold stands there, left of all that it keeps."""

    @property
    def ticks(self) -> Spec:
        """Where the axis says a score: at the bars, where they are few."""
        scores = [value["score"] for value in self.values]
        return {"values": scores} if self.before and len(scores) <= _FEW else {"tickMinStep": 2 * self.before}


@dataclass(frozen=True)
class Group:
    """Rows that a threshold selects from: all of a dataset's, or those of one category."""

    label: str
    eligible: int
    kept: tuple[int, ...]
    """Rows at or above each stop."""


@dataclass(frozen=True)
class WhatIf:
    """What other thresholds would keep, at each stop of a slider; the first group is the whole dataset."""

    grader: str
    stops: tuple[float, ...]
    start: int
    """The stop that is the recipe's own threshold."""
    groups: tuple[Group, ...]


def bars(scores: Scores, scale: Mapping[str, Any]) -> Bars:
    """Bars for counted scores: centred where scores are discrete, from edge to edge where they were counted in bins."""
    counted = sorted((float(each["score"]), int(each["rows"])) for each in scores)
    low, high = float(scale["min"]), float(scale["max"])
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
    return Bars(
        values, (round(domain[0], 6), round(domain[1], 6)), 0.0 if step is None else round(step / 2, 6)
    )


def _step(observed: Sequence[float], scale: Mapping[str, Any]) -> float | None:
    """The distance between scores; None where scores lie so close that they can only be bins."""
    if scale.get("step"):
        return float(scale["step"])
    span = float(scale["max"]) - float(scale["min"])
    nearest = min((after - before for before, after in pairwise(observed)), default=span / 10)
    return nearest if nearest > span / _BINS * 4.5 else None


def histogram(
    scores: Scores, scale: Mapping[str, Any], *, title: str, threshold: float | None = None
) -> Spec:
    """Rows by score. With a threshold, what it keeps has the stronger colour; the page moves it as the parameter `threshold`."""
    found = bars(scores, scale)
    line = "threshold" if not found.before else f"threshold - {found.before}"
    x = {
        "field": "begin",
        "type": "quantitative",
        "scale": {"domain": list(found.domain), "nice": False},
        "axis": {"title": title, "format": "~g", "labelOverlap": True, **found.ticks},
    }
    y: Spec = {
        "field": "rows",
        "type": "quantitative",
        "axis": {"title": "rows", "format": ",d", "tickCount": 4, "tickMinStep": 1},
    }
    colour: Spec = {"value": "var(--kept)"}
    if threshold is not None:
        colour = {
            "condition": {"test": "datum.score >= threshold", "value": "var(--kept)"},
            "value": "var(--left)",
        }
    shown = [
        {"field": "score", "type": "quantitative", "format": "~g"},
        {"field": "rows", "type": "quantitative", "format": ",d"},
    ]
    layers: list[Spec] = [
        {
            "data": {"values": found.values},
            "mark": {"type": "rect"},
            "encoding": {
                "x": x,
                "x2": {"field": "end"},
                "y": y,
                "y2": {"datum": 0},
                "color": colour,
                "tooltip": shown,
            },
        }
    ]
    if threshold is not None:
        at = {"datum": {"expr": line}, "type": "quantitative"}
        rule = {"type": "rule", "color": "var(--mark)", "strokeWidth": 1.5, "aria": False}
        word: Spec = {
            "type": "text",
            "y": -5,
            "baseline": "bottom",
            "align": "center",
            "fontSize": 11,
            "fontWeight": 600,
        }
        word |= {"color": "var(--mark)", "aria": False}
        text = {"value": {"expr": "'≥ ' + format(threshold, '~g')"}}
        layers.append({"data": {"values": [{}]}, "mark": rule, "encoding": {"x": at}})
        layers.append({"data": {"values": [{}]}, "mark": word, "encoding": {"x": at, "text": text}})
    spec = _spec(150 if threshold is None else 170, f"Rows by {title}", layers)
    if threshold is not None:
        spec["params"] = [{"name": "threshold", "value": threshold}]
    return spec


def balanced(dataset: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The categories of a dataset that have rows to keep, those first that the threshold alone cuts most."""
    there = [(name, counts) for name, counts in dataset["categories"].items() if counts.get("eligible")]
    return sorted(there, key=lambda each: (each[1]["at_threshold"] / each[1]["eligible"], each[0]))


def balance(dataset: Mapping[str, Any], labels: Mapping[str, str]) -> Spec | None:
    """The keep rate of each category, by the threshold alone and after quotas, against that of all rows.

    The page says what its signs mean: a legend of Vega's would not wrap on a narrow screen.
    """
    shown = balanced(dataset)[:MOST_CATEGORIES]
    if not shown or not dataset["eligible"]:
        return None
    kinds = (
        {"threshold alone": "at_threshold", "after quotas": "rows"}
        if dataset["quotas"]
        else {"threshold": "at_threshold"}
    )
    points = [
        {
            "category": labels[name],
            "kind": kind,
            "rate": counts[key] / counts["eligible"],
            "rows": counts[key],
            "of": counts["eligible"],
        }
        for name, counts in shown
        for kind, key in kinds.items()
    ]
    whole = [{"kind": kind, "rate": dataset[key] / dataset["eligible"]} for kind, key in kinds.items()]
    x: Spec = {
        "field": "rate",
        "type": "quantitative",
        "scale": {"zero": True, "nice": True},
        "axis": {"title": "keep rate", "format": "~%", "grid": True, "tickCount": 8, "labelFlush": False},
    }
    y: Spec = {"field": "category", "type": "nominal", "sort": None}
    y["axis"] = {"title": None, "labelLimit": 180, "labelColor": "var(--ink)"}
    tooltip: list[Spec] = [
        {"field": "category", "type": "nominal"},
        {"field": "kind", "type": "nominal", "title": "kept by"},
    ]
    tooltip.append({"field": "rate", "type": "quantitative", "format": ".2%", "title": "keep rate"})
    tooltip += [{"field": field, "type": "quantitative", "format": ",d"} for field in ("rows", "of")]
    dashes = _by_kind(kinds, [[4, 3], [1, 0]])
    fill = _by_kind(kinds, ["var(--page)", "var(--kept)"] if len(kinds) > 1 else ["var(--kept)"])
    layers: list[Spec] = [
        {
            "data": {"values": whole},
            "mark": {"type": "rule", "color": "var(--mark)", "strokeWidth": 1.5},
            "encoding": {"x": x, "strokeDash": dashes},
        },
        {
            "data": {"values": points},
            "mark": {"type": "line", "color": "var(--kept)", "strokeWidth": 2, "aria": False},
            "encoding": {"x": x, "y": y, "detail": {"field": "category", "type": "nominal"}},
        },
        {
            "data": {"values": points},
            "mark": {"type": "point", "size": 55, "strokeWidth": 2, "opacity": 1, "stroke": "var(--kept)"},
            "encoding": {"x": x, "y": y, "fill": fill, "tooltip": tooltip},
        },
    ]
    return _spec(20 * len(shown) + 4, "Keep rate of each category", layers)


def _by_kind(kinds: Iterable[str], values: Sequence[Any]) -> Spec:
    return {
        "field": "kind",
        "type": "nominal",
        "scale": {"domain": list(kinds), "range": list(values)},
        "legend": None,
    }


def _spec(height: int, description: str, layers: Sequence[Spec]) -> Spec:
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


def what_if(dataset: Mapping[str, Any], graders: Mapping[str, Any], most: int) -> WhatIf | None:
    """What other thresholds would keep of a dataset with one threshold, for all its rows and its `most` largest categories."""
    if len(dataset["threshold"]) != 1 or not dataset.get("scores"):
        return None
    grader, threshold = next(iter(dataset["threshold"].items()))
    scale = graders[grader]["scale"]
    own = round(float(threshold), 6)
    observed = [round(float(each["score"]), 6) for each in dataset["scores"]]
    stops = tuple(sorted({own, *observed, *_grid(scale)}))
    start = stops.index(own)
    by_category: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in dataset["category_scores"]:
        by_category[each["category"]].append(each)
    largest = sorted(dataset["categories"].items(), key=lambda each: (-each[1].get("eligible", 0), each[0]))[
        :most
    ]
    sources = [
        ("all rows", dataset, dataset["scores"]),
        *((name, counts, by_category[name]) for name, counts in largest),
    ]
    groups: list[Group] = []
    for name, counts, scores in sources:
        kept = _kept(scores, stops)
        if not scale.get("step"):
            # Bins cannot be cut in two: at the recipe's own threshold the run counted the rows themselves.
            kept[start] = counts["at_threshold"]
        groups.append(Group(name, counts["eligible"], tuple(kept)))
    return WhatIf(grader, stops, start, tuple(groups))


def _grid(scale: Mapping[str, Any]) -> list[float]:
    """The scores that a scale with steps allows, unless they are too many to stop at."""
    step = scale.get("step")
    if not step:
        return []
    count = round((scale["max"] - scale["min"]) / step)
    return [round(scale["min"] + index * step, 6) for index in range(count + 1)] if count <= _FINE else []


def _kept(scores: Scores, stops: Sequence[float]) -> list[int]:
    """How many rows have at least the score of each stop."""
    counted = sorted((round(float(each["score"]), 6), int(each["rows"])) for each in scores)
    below = [0, *accumulate(rows for _, rows in counted)]
    values = [score for score, _ in counted]
    return [below[-1] - below[bisect_left(values, stop)] for stop in stops]
