"""The check `str_length`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from msgspec import Meta

from alpaqual import sql
from alpaqual.checks._bounds import bounds_problem
from alpaqual.contracts import Check, FailingRows
from alpaqual.types import Count, StrictStruct


class Length(StrictStruct, frozen=True, kw_only=True):
    """A length in characters."""

    min: Annotated[Count | None, Meta(description="At least this many characters.")] = None
    max: Annotated[Count | None, Meta(description="At most this many characters.")] = None


class Plugin(Check):
    """Compares the length of the text with bounds."""

    DESCRIPTION = "Length of the text."
    ARGUMENT = Length
    PANDERA = "str_length"

    def problem(self, argument: Length) -> str:
        """Bounds that are missing or crossed."""
        return bounds_problem(self.PANDERA, argument.min, argument.max)

    def failing(self, argument: Length, column: str) -> FailingRows:
        """Rows whose text is shorter or longer."""
        return FailingRows(sql.or_false(sql.outside(f"LENGTH({sql.text(column)})", argument.min, argument.max)))

    def from_pandera(self, settings: Any) -> Iterable[tuple[str, str, Any]]:
        """pandera also takes one exact length."""
        given = settings if isinstance(settings, dict) else {}
        exact = given.get("exact_value", settings if isinstance(settings, int) else None)
        low, high = (given.get("min_value"), given.get("max_value")) if exact is None else (exact, exact)
        return [("", "", {"min": low, "max": high})]

    def to_pandera(self, argument: Length) -> tuple[int | None, int | None]:
        """The two bounds."""
        return (argument.min, argument.max)
