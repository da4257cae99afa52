"""The length-controlled rate and Bradley-Terry ratings against maxima that scipy finds, and where there is no maximum."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from said import verdicts
from scipy.optimize import minimize
from scipy.special import expit
from tiers import examples

from alpaqual.evaluation.figures import evaluation_result
from alpaqual.evaluation.length_control import controlled_rate
from alpaqual.evaluation.ratings import SCALE, bradley_terry
from alpaqual.evaluation.values import Judgement

Z = 1.959964


def loss(parameters: np.ndarray, design: np.ndarray, credit: np.ndarray, count: np.ndarray) -> float:
    logits = design @ parameters
    return float(np.sum(count * np.logaddexp(0, logits) - credit * logits))


def maximum(design: np.ndarray, credit: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest parameters of a logistic regression, and the inverse of the Fisher information there."""
    start = np.zeros(design.shape[1])
    found = minimize(loss, start, (design, credit, count), method="BFGS", options={"gtol": 1e-9, "maxiter": 2000}).x
    rate = expit(design @ found)
    return found, np.linalg.inv(design.T @ (design * (count * rate * (1 - rate))[:, None]))


def drawn(seed: int, items: int, pull: float, level: float = 0.3) -> list[tuple[int, float]]:
    """Differences of length and credits, of a judge whose logits are level + pull * difference / 200."""
    draw = random.Random(seed)
    made = []
    for _ in range(items):
        difference = round(draw.gauss(50, 200))
        won = draw.random() < expit(level + pull * difference / 200)
        made.append((difference, 0.5 if draw.random() < 0.2 else float(won)))
    return made


@pytest.mark.parametrize("seed", range(12))
def test_the_rate_at_equal_length_is_the_likeliest(seed: int) -> None:
    items = drawn(seed, 30 + 30 * seed, pull=(seed % 4) * 0.5)
    found = controlled_rate(items)
    assert found is not None
    differences, credits = (np.array(column, dtype=float) for column in zip(*items, strict=True))
    design = np.column_stack([np.ones(len(items)), differences / differences.std()])
    best, covariance = maximum(design, credits, np.ones(len(items)))
    half = Z * math.sqrt(covariance[0, 0])
    assert found.rate == pytest.approx(expit(best[0]), abs=1e-5)
    assert found.slope == pytest.approx(best[1], abs=1e-4)
    assert found.interval == pytest.approx((expit(best[0] - half), expit(best[0] + half)), abs=1e-5)


ITEMS = st.lists(st.tuples(st.integers(-10_000, 10_000), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=60)


@settings(max_examples=examples(500), deadline=None)
@given(ITEMS)
def test_the_rate_is_finite_and_turns_with_the_pair(items: list[tuple[int, float]]) -> None:
    found = controlled_rate(items)
    turned = controlled_rate([(-difference, 1 - credit) for difference, credit in items])
    assert found is not None and turned is not None
    low, high = found.interval
    assert 0 <= low <= found.rate <= high <= 1
    assert turned.rate == pytest.approx(1 - found.rate, abs=1e-5)


def by_length(differences: list[int]) -> list[tuple[int, float]]:
    """The longer answer always wins."""
    return [(each, 1.0 if each > 0 else 0.0 if each < 0 else 0.5) for each in differences]


@pytest.mark.parametrize("middle", [-300, 0, 50, 200])
@pytest.mark.parametrize("items", [10, 80])
def test_where_length_decides_all_the_rate_is_one_half_within_its_interval(middle: int, items: int) -> None:
    for seed in range(4):
        draw = random.Random(seed)
        found = controlled_rate(by_length([round(draw.gauss(middle, 200)) for _ in range(items)]))
        assert found is not None
        assert 0 <= found.interval[0] <= 0.5 <= found.interval[1] <= 1


def test_where_one_model_is_always_longer_and_always_wins_nothing_is_known_at_equal_length() -> None:
    for differences in ([5, 60, 700], [40] * 10, [-3, -4]):
        found = controlled_rate(by_length(differences))
        assert found is not None and (found.rate, found.interval) == (0.5, (0.0, 1.0))
    assert controlled_rate([]) is None


def test_a_model_that_wins_at_any_length_wins_at_equal_length() -> None:
    found = controlled_rate([(each, 1.0) for each in range(-40, 40)])
    assert found is not None and found.interval[0] > 0.9
    same = controlled_rate([(0, 1.0)] * 30 + [(0, 0.0)] * 10)
    assert same is not None and same.rate == pytest.approx(0.75)
    assert same.interval == pytest.approx(
        (expit(math.log(3) - Z * math.sqrt(4 / 30)), expit(math.log(3) + Z * math.sqrt(4 / 30)))
    )


def games(seed: int, models: int) -> list[tuple[str, str, float, int]]:
    draw = random.Random(seed)
    strengths = [draw.gauss(0, 0.8) for _ in range(models)]
    return [
        (
            f"m{i}",
            f"m{j}",
            sum(draw.choice([0.5, float(draw.random() < expit(strengths[i] - strengths[j]))]) for _ in range(n)),
            n,
        )
        for i in range(models)
        for j in range(i)
        for n in [draw.randint(20, 60)]
    ]


@pytest.mark.parametrize("models", [2, 3, 5, 8])
def test_ratings_are_the_likeliest(models: int) -> None:
    played = games(models, models)
    design = np.zeros((len(played), models))
    for row, (a, b, _, _) in zip(design, played, strict=True):
        row[int(a[1:])], row[int(b[1:])] = 1, -1
    credit, count = (np.array([each[part] for each in played], dtype=float) for part in (2, 3))
    best, inverse = maximum(design[:, 1:], credit, count)
    centre = np.eye(models) - 1 / models
    covariance = np.zeros((models, models))
    covariance[1:, 1:] = inverse
    errors = np.sqrt(np.diag(centre @ covariance @ centre))
    ratings = 1000 + SCALE * (centre @ np.concatenate([[0], best]))
    found = bradley_terry(played)
    for index in range(models):
        rating = found[f"m{index}"]
        assert rating.rating == pytest.approx(ratings[index], abs=0.01)
        assert rating.interval == pytest.approx(
            [ratings[index] - SCALE * Z * errors[index], ratings[index] + SCALE * Z * errors[index]], abs=0.05
        )
    assert list(found) == sorted(found, key=lambda name: -found[name].rating)


def test_ratings_of_two_models_follow_from_their_rate() -> None:
    found = bradley_terry([("a", "b", 60.0, 80)])
    assert found["a"].rating - found["b"].rating == pytest.approx(400 * math.log10(3))
    assert (found["a"].n, found["a"].rating + found["b"].rating) == (80, pytest.approx(2000))


def test_a_model_that_wins_everything_has_a_finite_rating() -> None:
    found = bradley_terry([("a", "b", 40.0, 40), ("b", "c", 15.0, 30), ("a", "c", 20.0, 20)])
    assert all(
        math.isfinite(each.rating) and each.interval and each.interval[0] < each.rating for each in found.values()
    )
    assert next(iter(found)) == "a"
    lone = bradley_terry([("a", "b", 0.0, 1)])
    assert lone["b"].rating > lone["a"].rating


def test_models_that_are_in_no_way_compared_have_no_ratings() -> None:
    assert bradley_terry([("a", "b", 20.0, 40), ("c", "d", 15.0, 30)]) == {}
    assert bradley_terry([]) == {}
    assert bradley_terry([("a", "b", 0.0, 0)]) == {}


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde"), st.integers(0, 20), st.integers(0, 20))))
def test_any_connected_verdicts_have_finite_ratings_around_the_mean(counts: list[tuple[str, str, int, int]]) -> None:
    found = bradley_terry((a, b, wins / 1, wins + losses) for a, b, wins, losses in counts if a != b)
    assume(found)
    assert sum(each.rating for each in found.values()) / len(found) == pytest.approx(1000, abs=1e-6)
    assert all(math.isfinite(each.rating) and each.interval is not None for each in found.values())


def test_an_item_of_two_judges_counts_once_in_ratings() -> None:
    one = verdicts(30, 5, 5)
    both = [*one, *verdicts(30, 5, 5, judge="other")]
    assert evaluation_result(both, rule="paper").ratings == evaluation_result(one, rule="paper").ratings
    other = [*one, *verdicts(5, 5, 30, judge="other")]
    assert evaluation_result(other, rule="paper").ratings["a"].n == 40


def test_ratings_order_three_models() -> None:
    judgements: list[Judgement] = [
        *verdicts(40, 10, 10),
        *verdicts(30, 10, 20, pair="bc"),
        *verdicts(45, 10, 5, pair="ac"),
    ]
    assert list(evaluation_result(judgements, rule="paper").ratings) == ["a", "b", "c"]
