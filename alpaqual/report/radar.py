"""Draws values around a circle, an axis for each category or skill: up to dozens of axes with their names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from alpaqual.report.escape import shorten
from alpaqual.report.markup import NOTHING, Html, plain, tag
from alpaqual.report.svg import circle, drawing, line, number, word

FEWEST = 3
"""A circle of fewer axes has no area; the table beside it has the numbers."""

MOST_AXES = 40
"""Names of more axes have no space around the circle."""

_LONGEST = 22
_CHARACTER = 7.8
"""Width of a character of a name in a wide font, in units of the drawing."""
_SPACING = 14
"""Least distance of two names, from line to line."""
_UPRIGHT = 0.05
"""Sine of the angle below which the name of an axis is in the middle above or below it."""
_GAP = 12
"""From the end of an axis to its name."""

CLASSES = ("first", "second", "third", "fourth")
"""Classes of the lines, by their place."""


@dataclass(frozen=True)
class Axis:
    """An axis: its name, the number of items behind it, and whether these are too few to read anything from."""

    name: str
    items: int
    few: bool = False


@dataclass(frozen=True)
class Ring:
    """The scale from the centre to the edge: rings at `ticks`, one of them at the value that is compared with."""

    low: float
    high: float
    mark: float
    ticks: Sequence[float]
    suffix: str = ""


@dataclass(frozen=True)
class Outline:
    """The values of one line, one an axis; None where an axis has none. `labels` are shown by a pointer over the points."""

    values: Sequence[float | None]
    labels: Sequence[str]
    intervals: Sequence[Sequence[float] | None] = field(default_factory=tuple)


def radar(axes: Sequence[Axis], outlines: Sequence[Outline], ring: Ring, *, label: str) -> Html:
    """Draw outlines over the axes; empty where a circle has too few or too many axes to be read."""
    if not FEWEST <= len(axes) <= MOST_AXES:
        return NOTHING
    shape = _Shape(axes, ring)
    parts = [*_rings(shape), *_axes(shape)]
    for outline, class_ in zip(outlines, CLASSES, strict=False):
        parts += _outline(shape, outline, class_ if len(outlines) == 1 else f"{class_} among")
    return drawing(shape.width, shape.height, *parts, *_ticks(shape), class_="radar", label=label)


class _Shape:
    """Where axes and names are: the centre is the middle of the drawing."""

    def __init__(self, axes: Sequence[Axis], ring: Ring) -> None:
        self.axes = axes
        self.ring = ring
        self.radius = 130.0 if len(axes) <= 16 else 165.0
        self.names = [shorten(plain(axis.name), _LONGEST) or "no name" for axis in axes]
        self.shown = [
            f"{name} ({axis.items:,})" if axis.few else name for name, axis in zip(self.names, axes, strict=True)
        ]
        self.angles = [2 * math.pi * index / len(axes) for index in range(len(axes))]
        self.heights = _heights(self.angles, self.radius + _GAP)
        self.width = 2 * max(map(self._reach, range(len(axes))))
        self.top = max(0.0, -min(self.heights)) + 16
        self.height = self.top + max(*self.heights, self.radius) + 10

    def _reach(self, index: int) -> float:
        """How far a name reaches sideways from the centre."""
        across, long = abs(math.sin(self.angles[index])), _CHARACTER * len(self.shown[index])
        return long / 2 if across < _UPRIGHT else (self.radius + _GAP) * across + long

    def point(self, index: int, distance: float) -> tuple[float, float]:
        """The point of an axis at a distance from the centre."""
        angle = self.angles[index]
        return self.width / 2 + distance * math.sin(angle), self.top - distance * math.cos(angle)

    def distance(self, value: float) -> float:
        """The distance of a value from the centre; values beyond the scale are at its end."""
        inside = min(max(value, self.ring.low), self.ring.high)
        return self.radius * (inside - self.ring.low) / (self.ring.high - self.ring.low)


def _heights(angles: Sequence[float], reach: float) -> list[float]:
    """Return the height of each name below the centre: beside its axis, moved away from the middle where names would overlap."""
    heights = [-reach * math.cos(angle) for angle in angles]
    for right in (True, False):
        for sign in (-1, 1):
            half = [i for i, angle in enumerate(angles) if _is_in(angle, right) and sign * heights[i] >= 0]
            edge = -math.inf
            # From the middle outwards: each name is at least a line further out than the one before.
            for index in sorted(half, key=lambda i: sign * heights[i]):
                moved = max(sign * heights[index], edge + _SPACING)
                heights[index] = sign * moved
                edge = moved
    return heights


def _is_in(angle: float, right: bool) -> bool:
    """Return whether an angle is in a half; the axes that point up and down are in both."""
    across = math.sin(angle)
    return across > -1e-9 if right else across < 1e-9


def _rings(shape: _Shape) -> list[Html]:
    found = []
    for value in shape.ring.ticks:
        radius = shape.distance(value)
        if radius > 0:
            class_ = "ring mark" if value == shape.ring.mark else "ring"
            found.append(circle(shape.width / 2, shape.top, radius, class_))
    return found


def _ticks(shape: _Shape) -> list[Html]:
    """Draw the values of the rings, between the first axis and the second."""
    found = []
    turned = math.pi / len(shape.axes)
    for value in shape.ring.ticks:
        away = shape.distance(value)
        x, y = shape.width / 2 + away * math.sin(turned), shape.top - away * math.cos(turned)
        class_ = "tick mark" if value == shape.ring.mark else "tick"
        found.append(word(x, y + 4, f"{value:g}{shape.ring.suffix}", class_=class_))
    return found


def _axes(shape: _Shape) -> list[Html]:
    found = []
    for index, axis in enumerate(shape.axes):
        x, y = shape.point(index, shape.radius)
        found.append(line(shape.width / 2, shape.top, x, y, "axis"))
        across = math.sin(shape.angles[index])
        anchor = "middle" if abs(across) < _UPRIGHT else "start" if across > 0 else "end"
        place = shape.width / 2 + (shape.radius + _GAP) * across
        height = shape.top + shape.heights[index]
        if abs(height - y) > _SPACING:
            found.append(
                line(x, y, place - 3 * math.copysign(1, across) if anchor != "middle" else place, height, "lead")
            )
        class_ = "label few" if axis.few else "label"
        few = " (few items)" if axis.few else ""
        said = f"{plain(axis.name)}: {axis.items:,} items{few}"
        found.append(word(place, height + 4, shape.shown[index], anchor=anchor, class_=class_, label=said))
    return found


def _outline(shape: _Shape, outline: Outline, class_: str) -> list[Html]:
    """Draw a line around the circle, broken where an axis has no value, with its points and intervals."""
    places = [
        None if value is None else shape.point(index, shape.distance(value))
        for index, value in enumerate(outline.values)
    ]
    found = [_area(places, class_)]
    for index, bounds in enumerate(outline.intervals):
        if bounds is not None and not shape.axes[index].few:
            (x1, y1), (x2, y2) = (shape.point(index, shape.distance(bound)) for bound in bounds)
            found.append(line(x1, y1, x2, y2, f"reach {class_}"))
    for index, place in enumerate(places):
        if place is not None:
            dot = "open" if shape.axes[index].few else "full"
            found.append(circle(*place, 3.5, f"{dot} {class_}", outline.labels[index]))
    return found


def _area(places: Sequence[tuple[float, float] | None], class_: str) -> Html:
    if all(place is not None for place in places):
        points = " ".join(f"{number(place[0])},{number(place[1])}" for place in places if place is not None)
        return tag("polygon", points=points, class_=f"area {class_}")
    steps = []
    around = [*places, places[0]]
    for before, place in zip([None, *around], around, strict=False):
        if place is not None:
            steps.append(f"{'L' if before is not None else 'M'}{number(place[0])} {number(place[1])}")
    return tag("path", d=" ".join(steps), class_=f"outline {class_}")
