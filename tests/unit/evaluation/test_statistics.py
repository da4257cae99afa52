"""Interval, sign test and power against scipy, by simulation, and at the numbers that others published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from said import random_judge
from scipy.stats import binomtest, bootstrap, multinomial, norm
from tiers import examples

from alpaqual.evaluation.statistics import (
    NORMAL_80,
    NORMAL_95,
    Counts,
    detectable,
    interval,
    needed,
    sign_test,
    standard_error,
    two_sided,
    winning_score,
)
from alpaqual.evaluation.verdicts import verdict

COUNTS = st.builds(Counts, *[st.integers(0, 300)] * 3)


def outcomes(counts: Counts) -> np.ndarray:
    return np.repeat([1.0, 0.0, -1.0], [counts.win, counts.tie, counts.lose])


def test_quantiles_are_the_normal_distributions() -> None:
    assert (pytest.approx(norm.ppf(0.975)), pytest.approx(norm.ppf(0.8))) == (NORMAL_95, NORMAL_80)


def test_winning_score_of_a_published_result() -> None:
    counts = Counts(40, 38, 2)
    assert winning_score(counts) == pytest.approx(1.475)
    assert interval(counts) == pytest.approx((1.355, 1.595), abs=5e-4)
    assert (winning_score(Counts()), interval(Counts()), detectable(Counts()), needed(Counts())) == (None,) * 4


@settings(max_examples=examples(500), deadline=None)
@given(COUNTS.filter(lambda counts: counts.is_usual))
def test_the_interval_is_the_normal_one_of_the_mean(counts: Counts) -> None:
    values = outcomes(counts)
    low, high = norm.interval(0.95, values.mean() + 1, values.std() / math.sqrt(len(values)))
    assert interval(counts) == pytest.approx((max(0, low), min(2, high)), abs=1e-9)


@pytest.mark.parametrize("counts", [Counts(40, 38, 2), Counts(60, 60, 60), Counts(250, 310, 170)])
def test_the_interval_is_the_bootstraps(counts: Counts) -> None:
    found = bootstrap((outcomes(counts),), np.mean, n_resamples=20_000, batch=2000, method="percentile", rng=1)
    assert interval(counts) == pytest.approx(np.add(found.confidence_interval, 1), abs=0.01)


@settings(max_examples=examples(500), deadline=None)
@given(st.builds(Counts, *[st.integers(0, 30)] * 3).filter(lambda counts: counts.n > 0))
@example(Counts(3, 0, 0))
@example(Counts(0, 1, 0))
@example(Counts(0, 80, 0))
@example(Counts(100_000, 0, 0))
def test_every_interval_has_a_width_and_holds_the_score(counts: Counts) -> None:
    bounds, score = interval(counts), winning_score(counts)
    assert bounds is not None and score is not None
    assert 0 <= bounds[0] <= score <= bounds[1] <= 2
    assert bounds[1] - bounds[0] > 1 / (counts.n + 5)
    turned = interval(counts.turned)
    assert turned == pytest.approx((2 - bounds[1], 2 - bounds[0]), abs=1e-9)


@pytest.mark.parametrize("counts", [Counts(3, 0, 0), Counts(2, 5, 1), Counts(0, 80, 0), Counts(7, 0, 3)])
def test_the_interval_of_few_items_is_that_of_a_score_test(counts: Counts) -> None:
    """At each end, the error of the distance is 1.96 standard errors at the likeliest shares with that distance (by search)."""
    for bound in interval(counts) or ():
        distance = bound - 1
        if abs(distance) > 1 - 1e-6:
            continue
        least = max(0.0, -distance)
        share = np.linspace(least + 1e-9, (1 - distance) / 2 - 1e-9, 400_001)
        others = np.maximum(1 - 2 * share - distance, 1e-300)
        likelihood = counts.win * np.log(share + distance) + counts.lose * np.log(share) + counts.tie * np.log(others)
        best = share[np.argmax(likelihood)]
        error = math.sqrt((2 * best + distance - distance**2) / counts.n)
        assert abs((counts.win - counts.lose) / counts.n - distance) / error == pytest.approx(NORMAL_95, rel=1e-3)


@pytest.mark.parametrize("items", [10, 25, 80])
@pytest.mark.parametrize(
    "shares", [(0.4, 0.2, 0.4), (0.2, 0.6, 0.2), (0.6, 0.3, 0.1), (0.9, 0.05, 0.05), (0.05, 0.93, 0.02)]
)
def test_the_interval_holds_the_truth_as_often_as_it_says(items: int, shares: tuple[float, float, float]) -> None:
    """Exactly, over all counts that this number of items can have."""
    every = [(w, items - w - lose, lose) for w in range(items + 1) for lose in range(items + 1 - w)]
    probabilities = multinomial.pmf(np.array(every), items, shares)
    truth = 1 + shares[0] - shares[2]
    bounds = [interval(Counts(*each)) or (0, 0) for each in every]
    holds = sum(p for p, (low, high) in zip(probabilities, bounds, strict=True) if low - 1e-9 <= truth <= high + 1e-9)
    assert 0.92 <= holds <= 1


def test_a_random_judge_is_not_shown_to_help() -> None:
    holds = 0
    for seed in range(100):
        found = [verdict(each, "paper") for each in random_judge(seed, 80)]
        bounds = interval(Counts(found.count("win"), found.count("tie"), found.count("lose"))) or (0, 0)
        holds += bounds[0] <= 1 <= bounds[1]
    assert 90 <= holds <= 99


@settings(max_examples=examples(500), deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000))
@example(0, 0)
@example(1, 0)
def test_the_sign_test_is_scipys(win: int, lose: int) -> None:
    expected = binomtest(win, win + lose).pvalue if win + lose else 1.0
    assert sign_test(Counts(win, 5, lose)) == pytest.approx(expected, rel=1e-8, abs=1e-250)


@pytest.mark.parametrize("win", [0, 1000, 49_000, 49_900, 50_000, 50_600])
def test_the_sign_test_of_many_items(win: int) -> None:
    assert two_sided(win, 100_000 - win) == pytest.approx(binomtest(win, 100_000).pvalue, rel=1e-7, abs=1e-250)


@pytest.mark.parametrize(
    ("items", "error", "distance"),
    [(80, 0.097, 0.27), (180, 0.064, 0.18), (218, 0.059, 0.16), (252, 0.054, 0.15), (730, 0.032, 0.09)],
)
def test_what_a_number_of_items_can_show(items: int, error: float, distance: float) -> None:
    """Standard errors that published GPT-4 logs of these test sets have at their own shares of ties, and the distances shown."""
    spread = (error * math.sqrt(items)) ** 2
    decided = round(items * min(1.0, spread))
    counts = Counts(decided // 2, items - 2 * (decided // 2), decided // 2)
    assert standard_error(counts) == pytest.approx(error, abs=0.002)
    assert detectable(counts) == pytest.approx(distance, abs=0.01)


def test_the_power_is_four_in_five() -> None:
    """Of comparisons whose true distance is the detectable one, about 80% have an interval that leaves out 1."""
    mix, items = np.array([0.35, 0.35, 0.30]), 200
    distance = detectable(Counts(*(items * mix).astype(int)))
    assert distance is not None
    shares = [0.325 + distance / 2, 0.35, 0.325 - distance / 2]
    draws = np.random.default_rng(3).multinomial(items, shares, size=2000)
    shown = sum((interval(Counts(*map(int, each))) or (0, 0))[0] > 1 for each in draws)
    assert 0.77 <= shown / 2000 <= 0.84


@settings(max_examples=examples(300), deadline=None)
@given(COUNTS.filter(lambda counts: counts.n > 0 and counts.win != counts.lose))
def test_items_needed_are_more_than_there_are_where_nothing_is_shown(counts: Counts) -> None:
    low, high = interval(counts) or (0, 0)
    items = needed(counts)
    assert items is not None
    if low <= 1 <= high and min(low, 2 - high) > 0:
        assert items > counts.n


def test_items_needed_would_show_the_distance() -> None:
    counts = Counts(30, 30, 20)
    items = needed(counts)
    assert items is not None and items > 80
    grown = Counts(*(round(items * each / 80) for each in (30, 30, 20)))
    assert detectable(grown) == pytest.approx(0.125, rel=0.02)


def test_three_items_can_show_nothing() -> None:
    assert detectable(Counts(1, 0, 0)) is None
    assert needed(Counts(10, 5, 10)) is None
