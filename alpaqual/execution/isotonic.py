"""Isotonic regression: the rising steps that are closest to points, by squares.

Pool adjacent violators (Barlow et al., Statistical Inference under Order Restrictions, 1972): neighbours that fall are pooled
into their mean until none falls. Between two knots the map is linear; outside of them it stays at the first or the last.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

Knots = Sequence[tuple[float, float]]
"""(from, to) of a map, both rising."""


def fit(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The knots of the map from `x` to `y` that is closest to the points (x, y); values to six digits.

    Points of the same x, to nine digits, count as their mean, as often as they are. Without points there are no knots.
    """
    found: dict[float, list[float]] = defaultdict(list)
    for x, y in points:
        found[round(x, 9)].append(y)
    blocks: list[tuple[float, int, float, float]] = []
    """Sum, points, first and last x of each block."""
    for x in sorted(found):
        blocks.append((sum(found[x]), len(found[x]), x, x))
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            total, count, _, last = blocks.pop()
            before, earlier, first, _ = blocks.pop()
            blocks.append((before + total, earlier + count, first, last))
    knots = []
    for total, count, first, last in blocks:
        value = round(total / count, 6)
        knots += [(first, value)] if first == last else [(first, value), (last, value)]
    return knots


def mapped(knots: Knots, x: float) -> float:
    """What the map makes of `x`, to six digits."""
    at = bisect_right(knots, x, key=lambda knot: knot[0])
    if at == 0 or at == len(knots):
        return knots[0 if at == 0 else -1][1]
    (x0, y0), (x1, y1) = knots[at - 1], knots[at]
    return round(y0 + (x - x0) * (y1 - y0) / (x1 - x0), 6)


def lowest_at(knots: Knots, y: float) -> float | None:
    """The lowest `x` of the knots, or between two of them, that the map takes to `y` or above; None where there is none."""
    at = next((index for index, knot in enumerate(knots) if knot[1] >= y), None)
    if at is None:
        return None
    if at == 0 or knots[at][1] == y:
        return knots[at][0]
    (x0, y0), (x1, y1) = knots[at - 1], knots[at]
    return x0 + (y - y0) * (x1 - x0) / (y1 - y0)
