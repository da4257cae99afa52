"""Draws the losses of training as one chart, in which datasets of different sizes compare."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from alpaqual.report.charts import Spec, layered
from alpaqual.report.training import Trainings, trained
from alpaqual.results.training import LossPoint

COLOURS = ("kept", "mark", "ink", "fourth")
"""Colours of the style sheet that colour-blind readers tell apart too; further lines repeat them, dashed."""

_DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2])
MOST_LINES = len(COLOURS) * len(_DASHES)
"""Lines of the chart; the tables have the rest."""

_HEIGHT = 280
_LABEL = 14
"""Pixels from one label to the next."""
_MOST_LABEL = 120
"""Pixels of a label beside a line."""
_FEW = 20
"""A moving mean covers a twentieth of the points; with fewer than twice as many points there is none."""


@dataclass(frozen=True)
class Line:
    """The losses of one training by epoch, with their moving mean."""

    name: str
    epochs: list[float]
    losses: list[float]
    means: list[float]
    points: Sequence[LossPoint]

    def at(self, epoch: float) -> float | None:
        """Return the mean at an epoch: that of the last point until then; None before the first."""
        until = [mean for each, mean in zip(self.epochs, self.means, strict=True) if each <= epoch + 1e-6]
        return until[-1] if until else None


def loss_lines(trainings: Trainings) -> list[Line]:
    """Return a line for each model that has a curve."""
    lines = []
    for name, each in trained(trainings).items():
        points = sorted((point for point in each.curve or () if _finite(point.loss)), key=lambda point: point.step)
        losses = [point.loss for point in points if point.loss is not None]
        if points:
            step = each.epochs / max(each.steps, points[-1].step, 1)
            epochs = [point.step * step for point in points]
            lines.append(Line(name, epochs, losses, means(losses, epochs), points))
    return lines


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def means(losses: Sequence[float], epochs: Sequence[float]) -> list[float]:
    """Return moving means over a twentieth of all points, half of them before each point.

    No mean crosses the end of an epoch, where losses fall suddenly, unless epochs are too short for that. The means at the start
    cover fewer points, so that the fast fall of the loss there shows.
    """
    reach = len(losses) // (2 * _FEW)
    laps = [math.ceil(epoch - 1e-6) for epoch in epochs]
    if (2 * reach + 1) * len(set(laps)) > len(laps):
        laps = [laps[0]] * len(laps)
    found = []
    for index, lap in enumerate(laps):
        begin, end = bisect_left(laps, lap), bisect_right(laps, lap)
        before = min(index, reach)
        after = before if lap == laps[0] else reach
        part = losses[max(begin, index - before) : min(end, index + after + 1)]
        found.append(sum(part) / len(part))
    return found


def loss_chart(lines: Sequence[Line], labels: Mapping[str, str]) -> Spec | None:
    """Draw the loss by epoch: faint points, their moving mean, and the name of the dataset beside its line.

    None where no training has more than one point.
    """
    shown = lines[:MOST_LINES]
    if not any(len(line.points) > 1 for line in shown):
        return None
    most = max(line.epochs[-1] for line in shown)
    every = [loss for line in shown for loss in line.losses]
    low, high = min(every), max(every)
    edge = max(0.05 * (high - low) or 0.05 * abs(high) or 1.0, 1e-9)
    low, high = max(low - edge, min(0.0, low)), high + edge
    x = {
        "field": "epoch",
        "type": "quantitative",
        "scale": {"domain": [0, most], "nice": False},
        # Losses fall at the end of each epoch: a grid line marks it.
        "axis": {"title": "epoch", "format": "~g", "grid": True, "labelFlush": False, **_ticks(most)},
    }
    y = {
        "field": "mean",
        "type": "quantitative",
        "scale": {"domain": [low, high], "nice": False, "zero": False},
        "axis": {"title": "training loss", "format": f".{_decimals(high - low)}f", "tickCount": 5},
    }
    layers = [_points(shown, labels, x, y), _means(shown, x, y), _labels(shown, labels, y, (low, high))]
    spec = layered(_HEIGHT, "Training loss of each dataset by epoch", layers)
    width = min(_MOST_LABEL, 7 * max(len(labels[line.name]) for line in shown)) + 8
    return {**spec, "padding": {"left": 2, "top": 4, "right": width, "bottom": 2}}


def _ticks(most: float) -> Spec:
    return {"values": list(range(math.floor(most) + 1))} if 2 <= most <= 12 else {"tickCount": 6}


def _decimals(span: float) -> int:
    """Return the decimals that tell the labels of an axis apart; it has about five."""
    return max(0, -math.floor(math.log10(span / 5)))


def _colour(shown: Sequence[Line]) -> Spec:
    colours = [f"var(--{COLOURS[index % len(COLOURS)]})" for index in range(len(shown))]
    return _by_line(colours)


def _by_line(values: Sequence[Any]) -> Spec:
    scale = {"domain": list(range(len(values))), "range": list(values)}
    return {"field": "line", "type": "nominal", "scale": scale, "legend": None}


def averaged(lines: Sequence[Line]) -> bool:
    """Return whether the lines are moving means; few points are joined as they are."""
    return any(len(line.points) >= 2 * _FEW for line in lines)


def _points(shown: Sequence[Line], labels: Mapping[str, str], x: Spec, y: Spec) -> Spec:
    """Draw every measurement with its numbers; many points are faint."""
    values = [
        {
            "line": index,
            "dataset": labels[line.name],
            "epoch": round(epoch, 4),
            "loss": round(loss, 4),
            "step": point.step,
            "rate": point.learning_rate,
            "norm": point.gradient_norm,
        }
        for index, line in enumerate(shown)
        for epoch, loss, point in zip(line.epochs, line.losses, line.points, strict=True)
    ]
    few = not averaged(shown)
    mark = {
        "type": "circle",
        "size": 40 if few else 10,
        "opacity": 1 if few else 0.3,
        # A transparent border makes a point of three pixels easy to hit with the pointer.
        "stroke": "transparent",
        "strokeWidth": 8,
        # A screen reader reads the table of numbers instead of hundreds of points.
        "aria": False,
    }
    tooltip = [
        {"field": "dataset", "type": "nominal"},
        *(
            {"field": field, "type": "quantitative", "format": form, "title": title}
            for field, form, title in (
                ("epoch", ".2f", "epoch"),
                ("step", ",d", "step"),
                ("loss", ".4f", "loss"),
                ("rate", ".3~g", "learning rate"),
                ("norm", ".3~g", "gradient norm"),
            )
        ),
    ]
    encoding = {"x": x, "y": {**y, "field": "loss"}, "fill": _colour(shown), "tooltip": tooltip}
    return {"data": {"values": values}, "mark": mark, "encoding": encoding}


def _means(shown: Sequence[Line], x: Spec, y: Spec) -> Spec:
    values = [
        {"line": index, "epoch": round(epoch, 4), "mean": round(mean, 4)}
        for index, line in enumerate(shown)
        for epoch, mean in zip(line.epochs, line.means, strict=True)
    ]
    mark = {"type": "line", "strokeWidth": 2, "aria": False}
    dashes = _by_line([_DASHES[index // len(COLOURS)] for index in range(len(shown))])
    encoding = {"x": x, "y": y, "stroke": _colour(shown), "strokeDash": dashes}
    return {"data": {"values": values}, "mark": mark, "encoding": encoding}


def _labels(shown: Sequence[Line], labels: Mapping[str, str], y: Spec, domain: tuple[float, float]) -> Spec:
    """Draw the name of each line at its end, moved away from the names of other lines."""
    low, high = domain
    ends = [(high - line.means[-1]) / (high - low) * _HEIGHT for line in shown]
    values = [
        {"line": index, "name": labels[line.name], "mean": round(high - place / _HEIGHT * (high - low), 6)}
        for index, (line, place) in enumerate(zip(shown, apart(ends), strict=True))
    ]
    mark = {"type": "text", "align": "left", "baseline": "middle", "dx": 6, "limit": _MOST_LABEL, "fontSize": 12}
    encoding = {"x": {"value": "width"}, "y": y, "text": {"field": "name"}, "fill": _colour(shown)}
    return {"data": {"values": values}, "mark": {**mark, "aria": False}, "encoding": encoding}


def apart(places: Sequence[float]) -> list[float]:
    """Return the places in pixels, in the same order, moved apart so that labels do not overlap, and above the axis."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for before, index in pairwise(order):
        moved[index] = max(moved[index], moved[before] + _LABEL)
    limit = float(_HEIGHT)
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - _LABEL
    return moved
