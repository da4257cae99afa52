"""The win rate at equal length: a logistic regression of verdicts on the difference of the answers' lengths, read at zero."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from alpaqual.evaluation.statistics import NORMAL_95
from alpaqual.evaluation.values import Judgement, Outcome

CREDIT: dict[Outcome, float] = {"win": 1.0, "tie": 0.5, "lose": 0.0}
"""What a verdict is worth to `a`: a tie is half a win."""

_STEPS = 100
_CONVERGED = 1e-9
_SHORTEST_STEP = 1e-10

_Line = tuple[float, float]
"""Intercept and slope, in logits."""


@dataclass(frozen=True, slots=True)
class ControlledRate:
    """The win rate of `a` where both answers are equally long, and its 95% interval; `slope` is in standard deviations of the
    difference, in logits."""

    rate: float
    interval: tuple[float, float]
    slope: float


@dataclass(frozen=True, slots=True)
class _Point:
    """Items with the same standardised difference x: wins (a tie is half of one) and losses, as weights."""

    x: float
    wins: float
    losses: float

    @property
    def weight(self) -> float:
        return self.wins + self.losses


def length_controlled_rate(judged: Iterable[tuple[Judgement, Outcome]]) -> ControlledRate | None:
    """Return the win rate of `a` at equal length, in characters; None where no item has both answers."""
    return controlled_rate(
        (len(judgement.text_a) - len(judgement.text_b), CREDIT[outcome])
        for judgement, outcome in judged
        if judgement.text_a and judgement.text_b
    )


def controlled_rate(items: Iterable[tuple[int, float]]) -> ControlledRate | None:
    """Return the win rate at a difference of zero, from (difference, credit of the verdict) of each item.

    The fit is by maximum likelihood, the difference divided by its standard deviation. Where lengths separate wins from losses, there
    is no maximum: Firth's penalty (Biometrika 80, 1993) then gives a finite one. The interval is normal in logits (delta method).
    Where one model gives each longer answer and has one and the same verdict throughout, or the difference never changes, length and
    model cannot be separated: the rate is one half, from 0 to 1.
    """
    points = _points(items)
    if not points:
        return None
    if _is_confounded(points):
        return ControlledRate(0.5, (0.0, 1.0), 0.0)
    fit = _level(points[0]) if len(points) == 1 else _fit(points, penalised=_is_separated(points))
    half = NORMAL_95 * fit.error
    bounds = share_of(fit.intercept - half), share_of(fit.intercept + half)
    return ControlledRate(share_of(fit.intercept), bounds, fit.slope)


def share_of(logit: float) -> float:
    """Return 1 / (1 + exp(-logit)), without overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1 + odds)


def _points(items: Iterable[tuple[int, float]]) -> list[_Point]:
    wins: Counter[int] = Counter()
    counts: Counter[int] = Counter()
    for difference, credit in items:
        counts[difference] += 1
        wins[difference] += round(2 * credit)
    total = max(1, sum(counts.values()))
    mean = sum(difference * count for difference, count in counts.items()) / total
    variance = sum(count * (difference - mean) ** 2 for difference, count in counts.items()) / total
    scale = math.sqrt(variance) or 1.0
    return [
        _Point(difference / scale, wins[difference] / 2, count - wins[difference] / 2)
        for difference, count in sorted(counts.items())
    ]


def _is_confounded(points: list[_Point]) -> bool:
    one_sided = points[0].x > 0 or points[-1].x < 0
    one_kind = not any(point.wins for point in points) or not any(point.losses for point in points)
    return one_sided and (one_kind or len(points) == 1)


def _is_separated(points: list[_Point]) -> bool:
    """Whether a difference of length parts all wins from all losses, so that the likelihood grows without end."""
    wins = [point.x for point in points if point.wins]
    losses = [point.x for point in points if point.losses]
    return not wins or not losses or min(wins) >= max(losses) or min(losses) >= max(wins)


@dataclass(frozen=True, slots=True)
class _Fit:
    """The fitted line in logits; `error` is the standard error of the intercept."""

    intercept: float
    slope: float
    error: float


def _level(point: _Point) -> _Fit:
    """The fit where all answers are equally long: the win rate, with half a win and half a loss more where one is missing."""
    extra = 0.0 if point.wins and point.losses else 0.5
    wins, losses = point.wins + extra, point.losses + extra
    return _Fit(math.log(wins / losses), 0.0, math.sqrt(1 / wins + 1 / losses))


def _fit(points: list[_Point], penalised: bool) -> _Fit:
    """Newton's method, with steps halved until the (penalised) likelihood grows."""
    line = (0.0, 0.0)
    value = _likelihood(points, line, penalised)
    for _ in range(_STEPS):
        step = _newton_step(points, line, penalised)
        line, value, moved = _climb(points, line, value, step, penalised)
        if moved < _CONVERGED:
            break
    w, wx, wxx = _information(points, line)
    return _Fit(*line, math.sqrt(wxx / (w * wxx - wx * wx)))


def _climb(points: list[_Point], line: _Line, value: float, step: _Line, penalised: bool) -> tuple[_Line, float, float]:
    """The point along a step where the likelihood has grown, its likelihood, and how far it is; the same point if there is none."""
    factor = 1.0
    while factor > _SHORTEST_STEP:
        new = line[0] + factor * step[0], line[1] + factor * step[1]
        grown = _likelihood(points, new, penalised)
        if grown >= value:
            return new, grown, factor * max(abs(step[0]), abs(step[1]))
        factor /= 2
    return line, value, 0.0


def _newton_step(points: list[_Point], line: _Line, penalised: bool) -> _Line:
    w, wx, wxx = _information(points, line)
    determinant = w * wxx - wx * wx
    score = score_x = 0.0
    for point in points:
        rate = share_of(line[0] + line[1] * point.x)
        error = point.wins - point.weight * rate
        if penalised:
            information = point.weight * rate * (1 - rate)
            leverage = information * (wxx - 2 * wx * point.x + w * point.x**2) / determinant
            error += leverage * (0.5 - rate)
        score += error
        score_x += error * point.x
    return (wxx * score - wx * score_x) / determinant, (w * score_x - wx * score) / determinant


def _information(points: list[_Point], line: _Line) -> tuple[float, float, float]:
    """The Fisher information: sums of weight * rate * (1 - rate), times 1, x and x squared."""
    w = wx = wxx = 0.0
    for point in points:
        rate = share_of(line[0] + line[1] * point.x)
        each = point.weight * rate * (1 - rate)
        w += each
        wx += each * point.x
        wxx += each * point.x**2
    return w, wx, wxx


def _likelihood(points: list[_Point], line: _Line, penalised: bool) -> float:
    """The log-likelihood; with Firth's penalty, half the logarithm of the information's determinant is added."""
    value = 0.0
    for point in points:
        logit = line[0] + line[1] * point.x
        value += point.wins * logit - point.weight * (max(logit, 0.0) + math.log1p(math.exp(-abs(logit))))
    if penalised:
        w, wx, wxx = _information(points, line)
        determinant = w * wxx - wx * wx
        value += 0.5 * math.log(determinant) if determinant > 0 else -math.inf
    return value
