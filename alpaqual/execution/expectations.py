"""An expectation held against the results of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpaqual.execution.limits import bound
from alpaqual.recipe.model import Bounds, Expectation
from alpaqual.recipe.scales import exact
from alpaqual.values import State

_MEASURES = ("rows", "keep_rate", "share", "scored", "unscored", "failing_rows", "quarantined")


def expectation_result(expectation: Expectation, results: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What `results.json` says of an expectation, and the sentence for the reader of the report where it is not met."""
    texts: list[str] = []
    met = True
    values: list[Any] = []
    for measure in _MEASURES:
        bounds: Bounds | None = getattr(expectation, measure)
        if bounds is None:
            continue
        value, whole = _measured(expectation, measure, results)
        texts.append(f"{measure} {_between(bounds)}")
        values.append(value)
        met = met and value is not None and _inside(value, whole, bounds)
    text = f"{_subject(expectation)}: {' and '.join(texts)}"
    shown = ", ".join("not there" if value is None else _number(value) for value in values)
    result = {
        "text": text,
        "state": State.PASS if met else State(expectation.level),
        "value": values[0] if len(values) == 1 else values,
    }
    return result, f"expected {text}; found {shown}"


def _subject(expectation: Expectation) -> str:
    parts = [
        f"{kind} {name}"
        for kind in ("dataset", "category", "grader", "rule")
        if (name := getattr(expectation, kind)) is not None
    ]
    return " ".join(parts) or "sources"


def _measured(expectation: Expectation, measure: str, results: Mapping[str, Any]) -> tuple[float | None, int]:
    """The number, and the rows that a percentage is of."""
    if expectation.rule is not None:
        rule = next((rule for rule in results["rules"] if rule["id"] == expectation.rule), None)
        return (None if rule is None else rule["failing_rows"]), results["source"]["rows"]
    if expectation.grader is not None:
        grader = results["graders"].get(expectation.grader)
        return (None, 0) if grader is None else (grader[measure], grader["rows"])
    holder: Mapping[str, Any] | None = results["source"]
    whole = results["source"]["rows"]
    if expectation.dataset is not None:
        holder = results["datasets"].get(expectation.dataset)
        whole = 0 if holder is None else holder["eligible"]
    if expectation.category is not None and holder is not None:
        among = holder["categories"] if expectation.dataset is not None else results["categories"]
        holder = among.get(expectation.category)
        whole = 0 if holder is None else holder.get("eligible", results["source"]["rows"])
    return (None if holder is None else holder.get(measure)), whole


def _inside(value: float, whole: int, bounds: Bounds) -> bool:
    """Whether the number lies within; a percentage is of `whole` rows, or of 1 where the number is a share itself."""
    of = 1 if isinstance(value, float) else whole
    low = bounds.min is None or exact(value) >= bound(bounds.min, of)
    return low and (bounds.max is None or exact(value) <= bound(bounds.max, of))


def _between(bounds: Bounds) -> str:
    low, high = (
        None if end is None else end if isinstance(end, str) else _number(end) for end in (bounds.min, bounds.max)
    )
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"from {low} to {high}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
