"""Checks of how a text starts or ends."""

from __future__ import annotations

from alpaqual import quote, sql
from alpaqual.contracts import Check, FailingRows


class End(Check):
    """The text has a given start or end, by the SQL function `FUNCTION`."""

    ARGUMENT = str
    FUNCTION: str

    def failing(self, argument: str, column: str) -> FailingRows:
        """Rows whose text starts or ends otherwise."""
        return FailingRows(sql.or_false(f"NOT {self.FUNCTION}({sql.text(column)}, {quote.literal(argument)})"))

    def to_pandera(self, argument: str) -> tuple[str]:
        """pandera's check has the same name and argument."""
        return (argument,)
