"""Expectations about an evaluation: of pairs in either order, of one test set or all, and of judges."""

from __future__ import annotations

from typing import Any

import pytest
from said import judgement, verdicts

from alpaqual.evaluation.figures import evaluation_result
from alpaqual.execution.evaluation_expectations import evaluation_expectation
from alpaqual.recipe.expectations import Bounds, Expectation
from alpaqual.results.evaluation import EvaluationResult
from alpaqual.values import State


def evaluation() -> EvaluationResult:
    """a against b: 40, 38, 2 on vicuna with two unjudged, 10, 10, 20 on koala; another judge has 0, 0, 10."""
    judgements = [
        *verdicts(40, 38, 2),
        *(judgement("?", "1", number) for number in (100, 101)),
        *verdicts(10, 10, 20, test_set="koala"),
        *verdicts(0, 0, 10, judge="other"),
    ]
    return evaluation_result(judgements, rule="paper")


CASES: list[tuple[dict[str, Any], State, Any, str]] = [
    ({"winning_score": Bounds(min=1.2)}, State.PASS, 1 + 28 / 120, "pair a, b: winning_score at least 1.2"),
    ({"test_set": "vicuna", "winning_score": Bounds(min=1.475)}, State.PASS, 1.475, "pair a, b test_set vicuna"),
    ({"test_set": "koala", "winning_score": Bounds(min=1)}, State.FAIL, 0.75, "found 0.75"),
    ({"pair": ["b", "a"], "test_set": "vicuna", "winning_score": Bounds(max=0.6)}, State.PASS, 0.525, "pair b, a"),
    ({"test_set": "vicuna", "interval_above": 1.3}, State.PASS, 1.3551, "interval_above 1.3"),
    ({"test_set": "vicuna", "interval_above": 1.36}, State.FAIL, 1.3551, "interval_above 1.36"),
    ({"pair": ["b", "a"], "test_set": "koala", "interval_above": 1}, State.FAIL, 0.994, "found an interval from 0.99"),
    ({"unjudged": Bounds(max=2)}, State.PASS, 2, "unjudged at most 2"),
    ({"test_set": "vicuna", "unjudged": Bounds(max="2%")}, State.FAIL, 2, "unjudged at most 2%; found 2"),
    ({"test_set": "vicuna", "unjudged": Bounds(max="3%")}, State.PASS, 2, "unjudged at most 3%"),
    ({"judge": "other", "winning_score": Bounds(max=0)}, State.PASS, 0, "judge other: winning_score at most 0"),
    ({"pair": ["a", "c"], "winning_score": Bounds(min=0)}, State.FAIL, None, "found no value"),
    ({"test_set": "sinstruct", "interval_above": 0.1}, State.FAIL, None, "found no value"),
    ({"judge": "absent", "unjudged": Bounds(max=100)}, State.FAIL, None, "found no value"),
    ({"winning_score": Bounds(min=1), "interval_above": 1.5, "level": "warn"}, State.WARN, [1.2333, 1.101], "and"),
    ({"pair": None, "judge": "judge", "order_kappa": Bounds(min=0.9)}, State.PASS, 1, "judge judge: order_kappa"),
    ({"pair": None, "judge": "third", "order_kappa": Bounds(min=0.9)}, State.FAIL, None, "found no value"),
]


@pytest.mark.parametrize(("written", "state", "value", "text"), CASES)
def test_an_expectation_is_met_or_not(written: dict[str, Any], state: State, value: Any, text: str) -> None:
    result, sentence = evaluation_expectation(Expectation(**{"pair": ["a", "b"], **written}), evaluation(), "r.yaml:3")
    assert (result.state, result.place) == (state, "r.yaml:3")
    assert result.value == (value if value is None else pytest.approx(value, abs=6e-3))
    assert text in sentence


def test_without_an_evaluation_nothing_is_met() -> None:
    result, sentence = evaluation_expectation(Expectation(pair=["a", "b"], winning_score=Bounds(min=0)), None, "")
    assert (result.state, result.value) == (State.FAIL, None)
    assert sentence == "expected pair a, b: winning_score at least 0; found no value"


def test_judges_with_unanswered_votes_have_no_kappa() -> None:
    found = evaluation_result([judgement("?", "?", 1)], rule="paper")
    expected = Expectation(judge="judge", order_kappa=Bounds(max=1))
    assert evaluation_expectation(expected, found, "")[0].state is State.FAIL
