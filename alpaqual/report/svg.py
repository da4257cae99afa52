"""Small drawings inside a page: bars of verdicts and intervals on a shared scale. They need no script, and print.

Colours come from classes of the style sheet, since the page's policy forbids styles elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alpaqual.report.markup import NOTHING, Html, tag

_WIDTH = 200
_EDGE = 14
"""Space beside the scale, in which the labels of the outer ticks end."""


def drawing(width: float, height: float, *parts: Html, class_: str, label: str) -> Html:
    """Return a drawing; `label` is what a screen reader says of it, and a pointer over it."""
    said = tag("title", label) if label else NOTHING
    return tag("svg", said, *parts, viewBox=f"0 0 {number(width)} {number(height)}", class_=class_, role="img")


def number(value: float) -> str:
    """Return a coordinate."""
    return f"{value:.1f}".removesuffix(".0")


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    """Return a line."""
    return tag("line", x1=number(x1), y1=number(y1), x2=number(x2), y2=number(y2), class_=class_)


def circle(x: float, y: float, radius: float, class_: str, label: str = "") -> Html:
    """Return a circle; `label` is shown when a pointer is over it."""
    said = tag("title", label) if label else NOTHING
    return tag("circle", said, cx=number(x), cy=number(y), r=number(radius), class_=class_)


def word(x: float, y: float, shown: str, *, anchor: str = "middle", class_: str = "label", label: str = "") -> Html:
    """Return a text; `label` is shown when a pointer is over it."""
    said = tag("title", label) if label else NOTHING
    return tag("text", said, shown, x=number(x), y=number(y), text_anchor=anchor, class_=class_)


def stacked_bar(win: int, tie: int, lose: int) -> Html:
    """Draw wins, ties and losses as parts of one bar."""
    whole = win + tie + lose
    if not whole:
        return NOTHING
    parts, at = [], 0.0
    for kind, items in (("win", win), ("tie", tie), ("lose", lose)):
        width = _WIDTH * items / whole
        parts.append(tag("rect", x=number(at), width=number(width), height="10", class_=kind) if items else NOTHING)
        at += width
    label = f"win {win:,}, tie {tie:,}, lose {lose:,}"
    return drawing(_WIDTH, 10, *parts, class_="verdicts", label=label)


@dataclass(frozen=True)
class Scale:
    """A scale that several drawings share; `marks` are the values that they are compared with."""

    low: float
    high: float
    marks: tuple[float, ...] = ()

    @property
    def step(self) -> float:
        """The distance of ticks: 1, 2 or 5 times a power of ten, about five on the scale."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        return next(power * each for each in (1, 2, 5, 10) if power * each >= rough * 0.999)

    @property
    def ticks(self) -> list[float]:
        """The values that are labelled."""
        first = math.ceil(self.low / self.step - 1e-9)
        last = math.floor(self.high / self.step + 1e-9)
        return [round(self.step * each, 9) for each in range(first, last + 1)]

    def x(self, value: float) -> float:
        """The place of a value; values beyond the scale are at its end."""
        inside = min(max(value, self.low), self.high)
        return _EDGE + (_WIDTH - 2 * _EDGE) * (inside - self.low) / (self.high - self.low)


def scale_of(intervals: Iterable[Sequence[float]], mark: float | None = None) -> Scale | None:
    """Return a scale that holds all intervals and the mark; None without an interval."""
    values = [value for bounds in intervals for value in bounds if math.isfinite(value)]
    if not values:
        return None
    values += [mark] if mark is not None else []
    low, high = min(values), max(values)
    edge = 0.04 * (high - low) or max(abs(high) * 0.1, 0.1)
    return Scale(low - edge, high + edge, () if mark is None else (mark,))


def axis(scale: Scale, *, suffix: str = "") -> Html:
    """Draw the ticks of a scale, for the head of a column."""
    marks = [word(scale.x(each), 11, f"{each:,.6g}{suffix}") for each in scale.ticks]
    return drawing(_WIDTH, 14, *marks, class_="interval axis", label="")


def interval_drawing(scale: Scale, value: float, bounds: Sequence[float] | None, *, label: str, strong: bool) -> Html:
    """Draw a value with its interval on a scale, beside the lines of its marks."""
    lines = [line(scale.x(each), 0, scale.x(each), 16, "tick") for each in scale.ticks]
    lines += [line(scale.x(each), 0, scale.x(each), 16, "mark") for each in scale.marks]
    if bounds is not None:
        lines.append(line(scale.x(bounds[0]), 8, scale.x(bounds[1]), 8, "reach"))
    point = circle(scale.x(value), 8, 4, "full" if strong else "open")
    return drawing(_WIDTH, 16, *lines, point, class_="interval", label=label)
