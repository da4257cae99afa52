"""Bradley-Terry ratings of models from their verdicts against each other; a tie is half a win."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from alpaqual.evaluation.length_control import share_of
from alpaqual.evaluation.statistics import NORMAL_95
from alpaqual.results.evaluation import Rating

MEAN = 1000.0
"""The mean of all ratings, as of Elo's."""
SCALE = 400 / math.log(10)
"""Elo's points for one logit: 400 points are odds of ten to one."""

_STEPS = 100
_CONVERGED = 1e-10

_Matrix = list[list[float]]


def bradley_terry(verdicts: Iterable[tuple[str, str, float, int]]) -> dict[str, Rating]:
    """Return the rating of each model, best first, from (a, b, credit of a, items) of each pair: credit = wins + ties / 2.

    By maximum likelihood, with intervals of the Fisher information around the mean of all models. Where a model or a group of models
    won or lost everything against the others there is no maximum: each pair then counts one more tie. Empty where verdicts do not
    connect all models, as ratings of models that are in no way compared have no common scale.
    """
    pairs = [(a, b, credit, items) for a, b, credit, items in verdicts if items and a != b]
    names = sorted({name for a, b, _, _ in pairs for name in (a, b)})
    place = {name: index for index, name in enumerate(names)}
    wins = _wins(pairs, place)
    if not names or not _reaches_all(_either(wins)):
        return {}
    if not (_reaches_all(wins) and _reaches_all(_transposed(wins))):
        for a, b in {(min(a, b), max(a, b)) for a, b, _, _ in pairs}:
            wins[place[a]][place[b]] += 0.5
            wins[place[b]][place[a]] += 0.5
    strengths = _maximise(wins)
    errors = _errors(wins, strengths)
    items = {name: sum(count for a, b, _, count in pairs if name in (a, b)) for name in names}
    ranked = sorted(names, key=lambda name: (-strengths[place[name]], name))
    return {name: _rated(strengths[place[name]], errors[place[name]], items[name]) for name in ranked}


def _rated(strength: float, error: float, items: int) -> Rating:
    rating, half = MEAN + SCALE * strength, SCALE * NORMAL_95 * error
    return Rating(rating=rating, interval=[rating - half, rating + half], n=items)


def _wins(pairs: Sequence[tuple[str, str, float, int]], place: dict[str, int]) -> _Matrix:
    """Wins of each model (row) over each other one (column)."""
    wins = [[0.0] * len(place) for _ in place]
    for a, b, credit, items in pairs:
        wins[place[a]][place[b]] += credit
        wins[place[b]][place[a]] += items - credit
    return wins


def _either(wins: _Matrix) -> _Matrix:
    return [[wins[i][j] + wins[j][i] for j in range(len(wins))] for i in range(len(wins))]


def _transposed(wins: _Matrix) -> _Matrix:
    return [list(column) for column in zip(*wins, strict=True)]


def _reaches_all(wins: _Matrix) -> bool:
    """Whether each model can be reached from the first one along wins."""
    reached, waiting = {0}, [0]
    while waiting:
        row = wins[waiting.pop()]
        for other, count in enumerate(row):
            if count > 0 and other not in reached:
                reached.add(other)
                waiting.append(other)
    return len(reached) == len(wins)


def _maximise(wins: _Matrix) -> list[float]:
    """The strengths in logits, their mean 0, by Newton's method; the likelihood is concave, and steps are at most one logit."""
    size = len(wins)
    strengths = [0.0] * size
    for _ in range(_STEPS):
        score = [
            sum(wins[i][j] - (wins[i][j] + wins[j][i]) * share_of(strengths[i] - strengths[j]) for j in range(size))
            for i in range(size)
        ]
        step = [sum(a * b for a, b in zip(row, score, strict=True)) for row in _covariance(wins, strengths)]
        longest = max(map(abs, step))
        factor = min(1.0, 1 / longest) if longest else 0.0
        strengths = [each + factor * change for each, change in zip(strengths, step, strict=True)]
        if longest < _CONVERGED:
            break
    mean = sum(strengths) / size
    return [each - mean for each in strengths]


def _errors(wins: _Matrix, strengths: list[float]) -> list[float]:
    """Standard errors of the strengths around their mean."""
    covariance = _covariance(wins, strengths)
    return [math.sqrt(max(0.0, covariance[i][i])) for i in range(len(covariance))]


def _covariance(wins: _Matrix, strengths: list[float]) -> _Matrix:
    """The covariance of strengths whose mean is 0: the pseudo-inverse of the Fisher information.

    The information has one direction without information, all strengths alike; (I + 11ᵀ/n)⁻¹ - 11ᵀ/n leaves it out.
    """
    size = len(wins)
    information = [[1 / size] * size for _ in range(size)]
    for i in range(size):
        for j in range(size):
            if i == j:
                continue
            rate = share_of(strengths[i] - strengths[j])
            each = (wins[i][j] + wins[j][i]) * rate * (1 - rate)
            information[i][i] += each
            information[i][j] -= each
    return [[each - 1 / size for each in row] for row in _inverse(information)]


def _inverse(matrix: _Matrix) -> _Matrix:
    """The inverse of a positive definite matrix, by Gauss and Jordan's elimination."""
    size = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = max(range(i, size), key=lambda row: abs(rows[row][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [each / rows[i][i] for each in rows[i]]
        for j in range(size):
            if j != i and rows[j][i]:
                factor = rows[j][i]
                rows[j] = [each - factor * above for each, above in zip(rows[j], rows[i], strict=True)]
    return [row[size:] for row in rows]
