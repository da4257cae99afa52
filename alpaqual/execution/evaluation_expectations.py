"""Compares an expectation about the evaluation with what was found."""

from __future__ import annotations

from alpaqual.amounts import exact
from alpaqual.evaluation.statistics import Counts, interval, winning_score
from alpaqual.execution.expectations import between, inside, number
from alpaqual.recipe.expectations import Bounds, Expectation
from alpaqual.results.evaluation import EvaluationResult, JudgeResult, PairResult
from alpaqual.results.results import ExpectationResult
from alpaqual.values import State


def evaluation_expectation(
    expectation: Expectation, evaluation: EvaluationResult | None, place: str
) -> tuple[ExpectationResult, str]:
    """Return what was found, and the sentence that a report shows where the expectation is not met.

    A pair in the other order than the recipe's is turned. Without a test set, all of them together count; without a judge, the first.
    """
    measured = list(_measured(expectation, evaluation))
    text = f"{_subject(expectation)}: {' and '.join(text for text, _, _ in measured)}"
    values = [value for _, value, _ in measured]
    state = State.PASS if all(met for _, _, met in measured) else State(expectation.level)
    shown = " and ".join(_found(text, value, alone=len(values) == 1) for text, value, _ in measured)
    found = values[0] if len(values) == 1 else values
    return ExpectationResult(text=text, state=state, value=found, place=place), f"expected {text}; found {shown}"


def _found(text: str, value: float | int | None, *, alone: bool) -> str:
    """A value with the name of its measure, where there are several; of an interval, that it is its lower end."""
    shown = "no value" if value is None else number(value)
    measure = text.split()[0]
    if measure == "interval_above":
        return shown if value is None else f"an interval from {shown}"
    return shown if alone else f"{measure} {shown}"


def _subject(expectation: Expectation) -> str:
    parts = []
    if expectation.pair is not None:
        parts.append(f"pair {', '.join(expectation.pair)}")
    parts += [f"{kind} {name}" for kind in ("test_set", "judge") if (name := getattr(expectation, kind)) is not None]
    return " ".join(parts)


_Measured = tuple[str, float | int | None, bool]
"""The text of a measure, its value, and whether it is met."""


def _measured(expectation: Expectation, evaluation: EvaluationResult | None) -> list[_Measured]:
    if expectation.pair is None:
        judge = None if evaluation is None else evaluation.judges.get(expectation.judge or "")
        return [_within("order_kappa", _kappa(judge), 0, expectation.order_kappa)] if expectation.order_kappa else []
    counts = None if evaluation is None else _counts(expectation, evaluation)
    found: list[_Measured] = []
    if expectation.winning_score is not None:
        score = None if counts is None else winning_score(counts)
        found.append(_within("winning_score", score, 0, expectation.winning_score))
    if expectation.interval_above is not None:
        bounds = None if counts is None else interval(counts)
        low = None if bounds is None else bounds[0]
        above = low is not None and exact(low) > exact(expectation.interval_above)
        found.append((f"interval_above {number(expectation.interval_above)}", low, above))
    if expectation.unjudged is not None:
        unjudged, items = (None, 0) if counts is None else (counts.unjudged, counts.n + counts.unjudged)
        found.append(_within("unjudged", unjudged, items, expectation.unjudged))
    return found


def _within(measure: str, value: float | int | None, whole: int, bounds: Bounds) -> _Measured:
    return f"{measure} {between(bounds)}", value, value is not None and inside(value, whole, bounds)


def _kappa(judge: JudgeResult | None) -> float | None:
    return None if judge is None else judge.order_kappa


def _counts(expectation: Expectation, evaluation: EvaluationResult) -> Counts | None:
    """The verdicts on the first model of the expectation's pair, by the recipe's own rule."""
    results = evaluation.overall if expectation.test_set is None else evaluation.pairs
    for result in results:
        if result.rule == evaluation.rule and _is_meant(result, expectation):
            counts = Counts(result.win, result.tie, result.lose, result.unjudged)
            return counts if expectation.pair == [result.a, result.b] else counts.turned
    return None


def _is_meant(result: PairResult, expectation: Expectation) -> bool:
    pair = expectation.pair or []
    return (
        pair in ([result.a, result.b], [result.b, result.a])
        and result.test_set == expectation.test_set
        and expectation.judge in (None, result.judge)
    )
