"""Capability: a model's scores as a percentage of a reference's, with an interval, whole and by group."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import bootstrap

from alpaqual.evaluation.capability import ScoredItem, capability_of
from alpaqual.evaluation.figures import evaluation_result
from alpaqual.evaluation.values import Judgement
from alpaqual.evaluation.verdicts import votes_of_ratings
from alpaqual.values import Vote


def rated(model: str, other: str, number: int, scores: tuple[float, float], **others: object) -> Judgement:
    a_first, b_first = votes_of_ratings(Vote(None, (scores[0],)), Vote(None, (scores[1],)))
    settings = {"test_set": "t", "id": str(number), "judge": "j", **others}
    return Judgement(model, other, a_first=a_first, b_first=b_first, **settings)  # type: ignore[arg-type]


def test_sums_of_scores_over_both_orders() -> None:
    one = Judgement("a", "gpt", "t", "1", "j", Vote("second", (6.0, 8.0)), Vote("first", (9.0, 8.0)))
    two = Judgement("gpt", "a", "t", "2", "j", Vote("first", (10.0, 4.0)), Vote("second", (5.0, 9.0)))
    found = evaluation_result([one, two], rule="paper", references=["gpt"]).capability
    assert list(found) == ["a"]
    assert found["a"]["gpt"].percentage == pytest.approx(100 * (7 + 4.5) / (8.5 + 9.5))
    assert (found["a"]["gpt"].n, found["a"]["gpt"].few, found["a"]["gpt"].interval) == (2, True, None)


def test_scores_in_one_prompt_count_for_their_pair_alone() -> None:
    judgements = [rated("a", "b", each, (6, 5)) for each in range(12)] + [
        rated("b", "gpt", each, (5, 10)) for each in range(12)
    ]
    pairwise = evaluation_result(judgements, rule="paper", references=["gpt"]).capability
    assert list(pairwise) == ["b"]
    one_by_one = [replace(each, single=True) for each in judgements]
    singly = evaluation_result(one_by_one, rule="paper", references=["gpt"]).capability
    assert {model: each["gpt"].percentage for model, each in singly.items()} == {"a": 60, "b": 50}


def test_groups_of_few_items_are_marked() -> None:
    judgements = [
        rated("a", "gpt", each, (each % 3 + 4, 8), groups=(("skill", "writing" if each < 12 else "maths"),))
        for each in range(15)
    ]
    whole = evaluation_result(judgements, rule="paper", references=["gpt"]).capability["a"]["gpt"]
    assert (whole.n, whole.few) == (15, False)
    assert {name: (each.n, each.few, each.interval is None) for name, each in whole.groups.items()} == {
        "writing": (12, False, False),
        "maths": (3, True, True),
    }
    assert whole.groups["maths"].percentage == pytest.approx(100 * 15 / 24)


def test_unjudged_items_and_scores_of_zero_are_left_out() -> None:
    unread = rated("a", "gpt", 1, (5, 5))
    missing = Judgement("a", "gpt", "t", "2", "j", Vote(None, reason="no number"), unread.b_first)
    found = evaluation_result([unread, missing], rule="paper", references=["gpt"]).capability
    assert found["a"]["gpt"].n == 1
    assert capability_of([ScoredItem(3, 0), ScoredItem(2, 0)]) is None
    assert capability_of([]) is None
    assert evaluation_result([unread], rule="paper").capability == {}
    assert evaluation_result([unread], rule="paper", references=["absent"]).capability == {}


def test_the_interval_is_the_bootstraps() -> None:
    draw = random.Random(5)
    items = [
        ScoredItem(min(10, 0.8 * reference + draw.gauss(0, 1.5)), reference)
        for reference in (draw.uniform(5, 10) for _ in range(150))
    ]
    found = capability_of(items)
    assert found is not None and found.interval is not None
    sums = bootstrap(
        (np.array([each.score for each in items]), np.array([each.reference for each in items])),
        lambda score, reference, axis: 100 * score.sum(axis) / reference.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        method="percentile",
        rng=1,
    )
    assert found.interval == pytest.approx(tuple(sums.confidence_interval), abs=0.25)
