"""The check `no_duplicates`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from alpaqual import sql
from alpaqual.contracts import Check, FailingRows
from alpaqual.fields import ROW_FIELDS
from alpaqual.types import RowColumns, StrictStruct


class Duplicates(StrictStruct, frozen=True, kw_only=True):
    """What counts as the same row again."""

    columns: Annotated[RowColumns, Meta(description="Compared columns.")] = field(
        default_factory=lambda: ["instruction", "input", "response"]
    )
    normalised: Annotated[
        bool,
        Meta(
            description="Compare letters, digits and symbols alone, in lower case: spacing and punctuation do not count."
        ),
    ] = False


class Plugin(Check):
    """Finds rows that repeat another row."""

    DESCRIPTION = "The row occurs once; every copy but the first fails."
    ARGUMENT = Duplicates | bool
    SWITCH = True
    WHOLE_ROWS = True

    def problem(self, argument: Duplicates | bool) -> str:
        """A column that is named twice."""
        twice = isinstance(argument, Duplicates) and len(set(argument.columns)) < len(argument.columns)
        return "a column is named twice" if twice else ""

    def failing(self, argument: Duplicates | bool, column: str) -> FailingRows:
        """Every copy but the one with the smallest id."""
        settings = argument if isinstance(argument, Duplicates) else Duplicates()
        listed = ", ".join(settings.columns)
        if not settings.normalised and len(settings.columns) == len(ROW_FIELDS):
            # The id of an exact copy has a hyphen (values.Row).
            return FailingRows("CONTAINS(id, '-')", column=listed, value="instruction")
        parts = [sql.normalised(part) if settings.normalised else f"COALESCE({part}, '')" for part in settings.columns]
        query = (
            f"WITH keyed AS MATERIALIZED (SELECT n, id, {sql.joined_key(parts)} AS k FROM rows) SELECT n FROM keyed JOIN "
            "(SELECT k, MIN(id) AS first FROM keyed GROUP BY k HAVING COUNT(*) > 1) AS repeated USING (k) WHERE id <> first"
        )
        return FailingRows(query=query, column=listed, value="instruction")
