"""The check `in_range`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from msgspec import Meta

from alpaqual import sql
from alpaqual.checks._bounds import bounds_problem
from alpaqual.contracts import Check, FailingRows
from alpaqual.types import StrictStruct


class Range(StrictStruct, frozen=True, kw_only=True):
    """A range of numbers, both ends included."""

    min: Annotated[int | float | None, Meta(description="Lowest number allowed.")] = None
    max: Annotated[int | float | None, Meta(description="Highest number allowed.")] = None


class Plugin(Check):
    """Compares a number with bounds. A value that is no number fails."""

    DESCRIPTION = "The number is in the range."
    ARGUMENT = Range
    NUMBERS = True
    PANDERA = "in_range"

    def problem(self, argument: Range) -> str:
        """Bounds that are missing or crossed."""
        return bounds_problem(self.PANDERA, argument.min, argument.max)

    def failing(self, argument: Range, column: str) -> FailingRows:
        """Rows whose number is outside, or that hold no number."""
        value = f"TRY_CAST({column} AS DOUBLE)"
        ends = (("<", argument.min), (">", argument.max))
        outside = " OR ".join(sql.compared(column, operator, end) for operator, end in ends if end is not None)
        wrong = f"{outside} OR ({value} IS NULL AND {column} IS NOT NULL) OR ISNAN({value})"
        return FailingRows(sql.or_false(wrong))

    def from_pandera(self, settings: Any) -> Iterable[tuple[str, str, Any]]:
        """pandera can leave an end out of the range: that is a check for each end."""
        given = settings if isinstance(settings, dict) else {}
        low, high = given["min_value"], given["max_value"]
        lowest, highest = given.get("include_min", True), given.get("include_max", True)
        if lowest and highest:
            return [("", "", {"min": low, "max": high})]
        return [
            (".min", "greater_than_or_equal_to" if lowest else "greater_than", low),
            (".max", "less_than_or_equal_to" if highest else "less_than", high),
        ]

    def to_pandera(self, argument: Range) -> tuple[float, float]:
        """The two ends, infinite where there is none."""
        low, high = argument.min, argument.max
        return (float("-inf") if low is None else low, float("inf") if high is None else high)
