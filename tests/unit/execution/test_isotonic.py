"""Isotonic regression against scipy's and scikit-learn's, and what a map has to keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression
from tiers import examples

from alpaqual.execution.calibration_results import raw_threshold
from alpaqual.execution.isotonic import fit, lowest_at, mapped
from alpaqual.recipe.graders import Grader, Scale

HALVES = st.integers(0, 10).map(lambda step: step / 2)
MILLIONTHS = st.floats(0, 5).map(lambda number: round(number, 6))
POINTS = st.lists(st.tuples(HALVES | MILLIONTHS, HALVES | MILLIONTHS), min_size=1, max_size=40)

BY_SCIKIT_LEARN: list[tuple[list[float], list[float], list[float]]] = [
    (
        [2.0, 5.0, 4.5, 5.0, 3.5, 2.0],
        [2.0, 4.5, 3.0, 4.5, 2.0, 1.5],
        [
            1.75,
            1.75,
            1.75,
            1.75,
            1.75,
            1.75,
            1.75,
            1.75,
            1.75,
            1.791667,
            1.833333,
            1.875,
            1.916667,
            1.958333,
            2.0,
            2.25,
            2.5,
            2.75,
            3.0,
            3.75,
            4.5,
        ],
    ),
    (
        [3.5, 0.0, 1.5, 2.0, 1.0, 1.5, 3.0, 3.0, 3.5, 0.5, 1.0, 3.5, 3.0, 4.0, 2.0],
        [3.5, 1.0, 2.0, 1.0, 0.5, 1.0, 3.0, 3.0, 2.0, 0, 0, 2.0, 2.0, 3.0, 1.0],
        [
            0.375,
            0.375,
            0.375,
            0.375,
            0.375,
            0.8125,
            1.25,
            1.25,
            1.25,
            1.583333,
            1.916667,
            2.25,
            2.583333,
            2.583333,
            2.583333,
            2.791667,
            3.0,
            3.0,
            3.0,
            3.0,
            3.0,
        ],
    ),
    (
        [
            0.0,
            1.0,
            3.0,
            4.0,
            2.5,
            4.5,
            4.5,
            2.5,
            1.0,
            4.0,
            4.5,
            5.0,
            5.0,
            0.0,
            3.5,
            5.0,
            4.0,
            3.0,
            3.0,
            3.0,
            3.0,
            0.5,
            3.5,
            5.0,
            3.0,
            0.0,
            1.5,
            0.5,
            1.5,
            3.5,
        ],
        [
            0,
            0.5,
            1.0,
            2.0,
            1.0,
            2.5,
            3.0,
            1.0,
            1.5,
            3.0,
            2.5,
            3.0,
            3.5,
            0,
            1.5,
            4.5,
            4.0,
            2.0,
            2.0,
            1.5,
            1.5,
            0,
            2.0,
            4.5,
            1.5,
            0,
            2.0,
            0.5,
            0.5,
            2.5,
        ],
        [
            0.0,
            0.125,
            0.25,
            0.625,
            1.0,
            1.0625,
            1.125,
            1.125,
            1.125,
            1.125,
            1.125,
            1.354167,
            1.583333,
            1.791667,
            2.0,
            2.416667,
            2.833333,
            2.833333,
            2.833333,
            3.354167,
            3.875,
        ],
    ),
]
"""x, y, and IsotonicRegression(out_of_bounds="clip").fit(x, y).predict(0, 0.25, …, 5) of scikit-learn 1.9.1."""


@pytest.mark.parametrize(("x", "y", "predicted"), BY_SCIKIT_LEARN)
def test_the_map_is_that_of_scikit_learn(x: list[float], y: list[float], predicted: list[float]) -> None:
    knots = fit(zip(x, y, strict=True))
    assert [mapped(knots, index / 4) for index in range(21)] == pytest.approx(predicted, abs=2e-6)


@settings(max_examples=examples(200), deadline=None)
@given(POINTS, st.lists(st.floats(-1, 6).map(lambda number: round(number, 6)), max_size=10))
def test_the_map_is_that_of_scipy(points: list[tuple[float, float]], others: list[float]) -> None:
    x = sorted({x for x, _ in points})
    means = [np.mean([y for each, y in points if each == at]) for at in x]
    weights = [sum(each == at for each, _ in points) for at in x]
    wanted = isotonic_regression(means, weights=weights).x
    knots = fit(points)
    asked = [*x, *others]
    for at in asked:
        assert mapped(knots, at) == pytest.approx(float(np.interp(at, x, wanted)), abs=3e-6)


@settings(max_examples=examples(100), deadline=None)
@given(POINTS, st.lists(HALVES, min_size=2, max_size=10))
def test_higher_scores_stay_at_least_as_high(points: list[tuple[float, float]], scores: list[float]) -> None:
    knots = fit(points)
    values = [mapped(knots, score) for score in sorted(scores)]
    assert values == sorted(values)
    assert min(y for _, y in points) - 1e-6 <= values[0] and values[-1] <= max(y for _, y in points) + 1e-6


@settings(max_examples=examples(100), deadline=None)
@given(POINTS, HALVES)
def test_the_lowest_score_at_a_threshold_is_the_lowest(points: list[tuple[float, float]], threshold: float) -> None:
    knots = fit(points)
    lowest = lowest_at(knots, threshold)
    if lowest is None:
        assert mapped(knots, 1e6) < threshold
        return
    assert mapped(knots, lowest) >= threshold - 2e-6
    below = [x for x, _ in knots if x < lowest]
    assert all(mapped(knots, x) < threshold for x in below)


def test_scores_that_differ_in_their_last_bits_are_one_score() -> None:
    assert fit([(0.1 + 0.2, 1), (0.3, 2), (5e-324, 0), (0, 1)]) == [(0, 0.5), (0.3, 1.5)]


def test_equal_points_are_one_knot_and_falling_ones_one_step() -> None:
    assert fit([(1, 2), (1, 4)]) == [(1, 3)]
    assert fit([(1, 3), (2, 2), (4, 1)]) == [(1, 2), (4, 2)]
    assert fit([]) == []


GRADERS = {
    "steps": Grader(model="openai/m", scale=Scale(min=0, max=5, step=0.5)),
    "smooth": Grader(model="openai/m", scale=Scale(min=0, max=5)),
    "column": Grader(column="c", scale=Scale(min=0, max=5, step=0.5)),
}


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.tuples(HALVES, HALVES), min_size=1, max_size=30), st.floats(0, 5), st.sampled_from(sorted(GRADERS)))
def test_a_threshold_on_the_graders_scale_parts_its_scores(
    points: list[tuple[float, float]], threshold: float, called: str
) -> None:
    knots, threshold = fit(points), round(threshold, 3)
    raw = raw_threshold(knots, threshold, GRADERS[called])
    every = [index / 2 for index in range(11)]
    if raw is None:
        assert all(mapped(knots, score) < threshold for score in every)
        return
    assert mapped(knots, raw) >= threshold
    assert all((mapped(knots, score) >= threshold) == (score >= raw) for score in every)
    assert called != "steps" or raw in every
