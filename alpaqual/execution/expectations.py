"""Compares an expectation with the results of a run."""

from __future__ import annotations

from alpaqual.amounts import exact
from alpaqual.execution.limits import bound
from alpaqual.recipe.expectations import Bounds, Expectation
from alpaqual.recipe.measures import MEASURES, subject
from alpaqual.results.record import Record
from alpaqual.results.results import ExpectationResult, Results
from alpaqual.values import State


def expectation_result(expectation: Expectation, results: Results, place: str) -> tuple[ExpectationResult, str]:
    """Return what was found, and the sentence that a report shows where the expectation is not met."""
    texts: list[str] = []
    met = True
    values: list[float | int | None] = []
    for measure in MEASURES:
        bounds: Bounds | None = getattr(expectation, measure)
        if bounds is None:
            continue
        value, whole = _measured(expectation, measure, results)
        texts.append(f"{measure} {between(bounds)}")
        values.append(value)
        met = met and value is not None and inside(value, whole, bounds)
    text = f"{_subject(expectation)}: {' and '.join(texts)}"
    shown = ", ".join("no value" if value is None else number(value) for value in values)
    state = State.PASS if met else State(expectation.level)
    found = values[0] if len(values) == 1 else values
    return ExpectationResult(text=text, state=state, value=found, place=place), f"expected {text}; found {shown}"


def _subject(expectation: Expectation) -> str:
    parts = [f"{kind} {getattr(expectation, kind)}" for kind in subject(expectation)]
    return " ".join(parts) or "sources"


def _measured(expectation: Expectation, measure: str, results: Results) -> tuple[float | None, int]:
    """Return the number, and the rows that a percentage is of."""
    if expectation.rule is not None:
        rule = next((rule for rule in results.rules if rule.id == expectation.rule), None)
        return (None if rule is None else rule.failing_rows), results.source.rows
    if expectation.grader is not None:
        grader = results.graders.get(expectation.grader)
        return (None, 0) if grader is None else (grader[measure], grader.rows)
    group, whole = _group(expectation, results)
    return (None if group is None else group.get(measure)), whole


def _group(expectation: Expectation, results: Results) -> tuple[Record | None, int]:
    """Return the sources, the dataset or the category that is counted, and the rows that a percentage is of."""
    if expectation.dataset is None:
        if expectation.category is None:
            return results.source, results.source.rows
        return results.categories.get(expectation.category), results.source.rows
    dataset = results.datasets.get(expectation.dataset)
    if dataset is None or expectation.category is None:
        return dataset, 0 if dataset is None else dataset.eligible
    category = dataset.categories.get(expectation.category)
    return category, 0 if category is None else category.eligible


def inside(value: float, whole: int, bounds: Bounds) -> bool:
    """Return whether the number is within; a percentage is of `whole` rows, or of 1 where the number is a share itself."""
    of = 1 if isinstance(value, float) else whole
    low = bounds.min is None or exact(value) >= bound(bounds.min, of)
    return low and (bounds.max is None or exact(value) <= bound(bounds.max, of))


def between(bounds: Bounds) -> str:
    """Return bounds as text: "at least 9,000"."""
    low, high = (
        None if end is None else end if isinstance(end, str) else number(end) for end in (bounds.min, bounds.max)
    )
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"from {low} to {high}"


def number(value: float) -> str:
    """Return a number as text: whole ones with separators of thousands, others to six digits."""
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
