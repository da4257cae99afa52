"""Checks that compare a column with given values."""

from __future__ import annotations

from typing import Any

from alpaqual import sql
from alpaqual.contracts import Check, FailingRows


class Membership(Check):
    """The column has one of the values, or none of them."""

    INSIDE: bool
    """Whether the value must be one of them."""

    def failing(self, argument: Any, column: str) -> FailingRows:
        """Rows with another value, or with one of them."""
        inside = sql.among(column, argument if isinstance(argument, list) else [argument])
        return FailingRows(sql.or_false(f"{column} IS NOT NULL AND NOT ({inside})" if self.INSIDE else inside))
