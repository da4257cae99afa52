"""Checks that compare a number with one bound."""

from __future__ import annotations

from typing import Any

from alpaqual import sql
from alpaqual.contracts import Check, FailingRows


class Comparison(Check):
    """The column is a number that compares to the bound by `OPERATOR`. A value that is no number fails."""

    ARGUMENT = int | float
    NUMBERS = True
    OPERATOR: str

    def failing(self, argument: float, column: str) -> FailingRows:
        """Rows whose number does not compare so, or that hold no number."""
        value = f"TRY_CAST({column} AS DOUBLE)"
        wrong = (
            f"NOT ({sql.compared(column, self.OPERATOR, argument)}) OR ({value} IS NULL AND {column} IS NOT NULL) "
            f"OR ISNAN({value})"
        )
        return FailingRows(sql.or_false(wrong))

    def to_pandera(self, argument: Any) -> tuple[Any]:
        """pandera's check has the same name and argument."""
        return (argument,)
