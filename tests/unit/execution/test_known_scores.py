"""A grader's scores beside people's: coefficients against scipy and by definition, bias by level, and the confusion table."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from tiers import examples

from alpaqual.contracts import Engine
from alpaqual.engines import open_engine
from alpaqual.execution.known_scores import compare_with_known
from alpaqual.recipe.graders import Scale

Pairs = Sequence[tuple[float, float | None]]
HALVES = Scale(min=0, max=5, step=0.5)
WHOLE = Scale(min=1, max=5, step=1)
SMOOTH = Scale(min=0, max=100)
SCALES = {"halves": HALVES, "whole": WHOLE, "smooth": SMOOTH}


@cache
def engine() -> Engine:
    """One engine for all examples: opening one takes longer than to compare."""
    return open_engine(threads=1)


@pytest.fixture(autouse=True, scope="module")
def closed() -> Iterator[None]:
    yield
    engine().close()
    engine.cache_clear()


def compare(pairs: Pairs, scale: Scale = HALVES) -> dict[str, Any]:
    return compare_with_known(engine(), pairs, scale)


def kappa_by_definition(pairs: Sequence[tuple[int, int]], levels: int) -> float | None:
    """1 less observed over expected disagreement, cell by cell of the two tables, with squared distances as weights."""
    if len(pairs) < 3:
        return None
    observed = np.zeros((levels, levels))
    for one, two in pairs:
        observed[one, two] += 1
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.sum()
    weights = np.subtract.outer(np.arange(levels), np.arange(levels)) ** 2
    chance = float((weights * expected).sum())
    return None if chance == 0 else 1 - float((weights * observed).sum()) / chance


def level(score: float, scale: Scale) -> int:
    step = scale.step or (scale.max - scale.min) / 10
    return math.floor((score - scale.min) / step + 0.5)


@settings(max_examples=examples(60), deadline=None)
@given(st.data(), st.sampled_from(sorted(SCALES)))
def test_what_is_compared_is_what_the_oracles_say(data: st.DataObject, called: str) -> None:
    scale = SCALES[called]
    tenths = st.integers(round(scale.min * 10), round(scale.max * 10)).map(lambda tenth: tenth / 10)
    score = tenths if called != "whole" else st.integers(1, 5).map(float)
    pairs = data.draw(st.lists(st.tuples(score, st.none() | score), min_size=1, max_size=30))
    found = compare(pairs, scale)
    both = [(known, score) for known, score in pairs if score is not None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rho = float(spearmanr(*zip(*both, strict=True)).statistic) if len(both) > 2 else math.nan
    assert found["spearman"] == (None if rho != rho else pytest.approx(rho, abs=1e-6))
    steps = [(level(known, scale), level(score, scale)) for known, score in both]
    wanted = kappa_by_definition(steps, level(scale.max, scale) + 1)
    assert found["kappa"] == (None if wanted is None else pytest.approx(wanted, abs=2e-6))
    cells = Counter(steps)
    assert [
        (level(each["known"], scale), level(each["score"], scale), each["rows"]) for each in found["confusion"]
    ] == sorted((one, two, rows) for (one, two), rows in cells.items())
    for each in found["levels"]:
        here = [pair for pair in pairs if level(pair[0], scale) == level(each["level"], scale)]
        scored = [(known, score) for known, score in here if score is not None]
        assert (each["rows"], each["scored"]) == (len(here), len(scored))
        errors = [score - known for known, score in scored]
        assert each["bias"] == (None if not errors else pytest.approx(sum(errors) / len(errors), abs=1e-6))
    assert sum(each["rows"] for each in found["levels"]) == len(pairs)


BY_SCIKIT_LEARN: list[tuple[list[int], list[int], float]] = [
    ([5, 2, 6, 10, 0], [3, 3, 4, 10, 1], 0.906367),
    ([0, 8, 3, 0, 1, 6, 6, 1, 3, 1, 8, 6], [0, 9, 1, 0, 4, 9, 7, 0, 4, 2, 8, 4], 0.871369),
    (
        [
            3,
            0,
            8,
            2,
            4,
            6,
            2,
            8,
            1,
            9,
            4,
            8,
            10,
            2,
            1,
            9,
            9,
            10,
            3,
            5,
            1,
            8,
            1,
            9,
            0,
            9,
            3,
            7,
            10,
            8,
            6,
            5,
            7,
            9,
            7,
            5,
            4,
            3,
            2,
            3,
        ],
        [
            1,
            1,
            8,
            3,
            4,
            6,
            5,
            8,
            1,
            10,
            2,
            6,
            10,
            2,
            0,
            9,
            8,
            10,
            3,
            3,
            4,
            6,
            2,
            10,
            0,
            9,
            6,
            7,
            10,
            8,
            7,
            5,
            5,
            7,
            7,
            5,
            7,
            6,
            0,
            1,
        ],
        0.887966,
    ),
]
"""Steps, steps and what cohen_kappa_score(…, weights="quadratic", labels=range(11)) of scikit-learn 1.9.1 gave of them."""


@pytest.mark.parametrize(("known", "scores", "kappa"), BY_SCIKIT_LEARN)
def test_kappa_is_that_of_scikit_learn(known: list[int], scores: list[int], kappa: float) -> None:
    pairs = [(one / 2, two / 2) for one, two in zip(known, scores, strict=True)]
    assert compare(pairs)["kappa"] == pytest.approx(kappa, abs=2e-6)


def test_kappa_counts_distances_in_steps() -> None:
    """One step apart everywhere costs less than the same rows far apart; equal scores are 1."""
    known = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert compare([(each, each) for each in known])["kappa"] == 1
    near = compare([(each, min(5.0, each + 0.5)) for each in known])["kappa"]
    far = compare([(each, abs(each - 2.5)) for each in known])["kappa"]
    assert 0.9 < near < 1 and far < 0.1


def test_bias_is_signed_and_by_level() -> None:
    found = compare([(1, 2), (1, 3), (4, 3), (4, None)])
    assert found["levels"] == [
        {"level": 1, "rows": 2, "scored": 2, "mean": 2.5, "bias": 1.5},
        {"level": 4, "rows": 2, "scored": 1, "mean": 3, "bias": -1},
    ]
    assert found["bias"] == pytest.approx(2 / 3, abs=1e-6)


def test_nothing_scored_leaves_measures_undefined() -> None:
    found = compare([(1, None), (2, None)])
    assert (found["spearman"], found["kappa"], found["bias"], found["confusion"]) == (None, None, None, [])
    assert [each["mean"] for each in found["levels"]] == [None, None]
