"""Statistics of wins, ties and losses: winning score, interval, sign test, and what a number of items can show.

The distance d = (win - lose) / n is from -1 to 1; the winning score is d + 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NORMAL_95 = 1.959963984540054
"""Quantile 0.975 of the normal distribution: a two-sided 95% interval."""
NORMAL_80 = 0.8416212335729143
"""Quantile 0.8 of the normal distribution: a power of 80%."""

USUAL_ITEMS = 20
USUAL_OTHERS = 5
"""The analytic interval holds from `USUAL_ITEMS` verdicts on, `USUAL_OTHERS` of which differ from the most frequent one.

With fewer, its normal approximation fails: it has no width where all verdicts are the same.
"""

EXACT_ITEMS = 2000
"""Up to here, a binomial probability is a quotient of whole numbers."""

_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Counts:
    """Verdicts of a group of items; `unjudged` items are in no other number."""

    win: int = 0
    tie: int = 0
    lose: int = 0
    unjudged: int = 0

    @property
    def n(self) -> int:
        """Items with a verdict."""
        return self.win + self.tie + self.lose

    @property
    def turned(self) -> Counts:
        """The same verdicts, on the other model."""
        return Counts(self.lose, self.tie, self.win, self.unjudged)

    @property
    def is_usual(self) -> bool:
        """Whether the analytic interval holds."""
        return self.n >= USUAL_ITEMS and self.n - max(self.win, self.tie, self.lose) >= USUAL_OTHERS


def winning_score(counts: Counts) -> float | None:
    """Return (win - lose) / n + 1, from 0 to 2; None without verdicts."""
    return (counts.n + counts.win - counts.lose) / counts.n if counts.n else None


def interval(counts: Counts) -> tuple[float, float] | None:
    """Return the 95% interval of the winning score; None without verdicts.

    d ± 1.96 sqrt((p_win + p_lose - d²) / n), cut at 0 and 2; where that approximation fails (`USUAL_ITEMS`), the score interval of
    a difference of paired proportions (Tango, Statistics in Medicine 17, 1998), which has a width in every case.
    """
    if not counts.n:
        return None
    distance = (counts.win - counts.lose) / counts.n
    if counts.is_usual:
        half = NORMAL_95 * _analytic_error(counts)
        low, high = max(-1.0, distance - half), min(1.0, distance + half)
    else:
        low, high = _score_interval(counts, distance)
    return low + 1, high + 1


def sign_test(counts: Counts) -> float:
    """Return the p-value of the two-sided exact sign test: wins against losses, ties left out; 1 without either."""
    return two_sided(counts.win, counts.lose)


def two_sided(first: int, second: int) -> float:
    """Return the two-sided exact binomial p-value of a split into two kinds that are equally likely."""
    total, fewer = first + second, min(first, second)
    if first == second:
        return 1.0
    tail, term = 0.0, _half_binomial(total, fewer)
    for position in range(fewer, -1, -1):
        tail += term
        term *= position / (total - position + 1)
        if term < tail * 1e-17:
            break
    return min(1.0, 2 * tail)


def _half_binomial(total: int, chosen: int) -> float:
    """The probability of `chosen` of `total` at one half; beyond `EXACT_ITEMS` through logarithms, which are faster."""
    if total <= EXACT_ITEMS:
        return math.comb(total, chosen) / (1 << total)
    ways = math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
    return math.exp(ways - total * math.log(2))


def standard_error(counts: Counts) -> float | None:
    """Return the standard error of the winning score; where the analytic one fails, from the width of the interval."""
    bounds = interval(counts)
    if bounds is None:
        return None
    return _analytic_error(counts) if counts.is_usual else (bounds[1] - bounds[0]) / 2 / NORMAL_95


def detectable(counts: Counts) -> float | None:
    """Return the smallest distance from 1 that this many items show in 80% of comparisons, at this share of ties.

    (1.96 + 0.84) standard errors; None where even a score of 0 or 2 is not shown that often.
    """
    error = standard_error(counts)
    if error is None:
        return None
    distance = (NORMAL_95 + NORMAL_80) * error
    return distance if distance <= 1 else None


def needed(counts: Counts) -> int | None:
    """Return about how many items would show the distance that was found, in 80% of comparisons; None at a distance of 0.

    The error is that of the side of the interval which is nearer to 1.
    """
    bounds, score = interval(counts), winning_score(counts)
    if bounds is None or score is None or counts.win == counts.lose:
        return None
    half = score - bounds[0] if counts.win > counts.lose else bounds[1] - score
    error = _analytic_error(counts) if counts.is_usual else half / NORMAL_95
    return math.ceil(counts.n * ((NORMAL_95 + NORMAL_80) * error / (score - 1)) ** 2)


def _analytic_error(counts: Counts) -> float:
    decided = (counts.win + counts.lose) / counts.n
    distance = (counts.win - counts.lose) / counts.n
    return math.sqrt(max(0.0, decided - distance**2) / counts.n)


def _score_interval(counts: Counts, distance: float) -> tuple[float, float]:
    """The distances that a score test at 5% accepts: those between which its statistic goes from 1.96 to -1.96."""
    return _crossing(counts, -1.0, distance, NORMAL_95), _crossing(counts, distance, 1.0, -NORMAL_95)


def _crossing(counts: Counts, low: float, high: float, level: float) -> float:
    """The distance at which the falling statistic crosses a level, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _score_statistic(counts, middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _score_statistic(counts: Counts, distance: float) -> float:
    """Tango's statistic: the error of win - lose, divided by its standard error at the likeliest share of losses."""
    n, win, lose = counts.n, counts.win, counts.lose
    linear = (2 * n - win + lose) * distance - win - lose
    constant = -lose * distance * (1 - distance)
    share = (math.sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * share + distance * (1 - distance))
    error = win - lose - n * distance
    if variance <= 0:
        return 0.0 if abs(error) < 1e-12 else math.copysign(math.inf, error)
    return error / math.sqrt(variance)
