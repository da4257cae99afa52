"""The check `not_nullable`."""

from __future__ import annotations

from alpaqual.contracts import Check, FailingRows


class Plugin(Check):
    """Finds nulls, which every other check passes over."""

    DESCRIPTION = "The value is there."
    ARGUMENT = bool
    SWITCH = True
    PANDERA = "nullable"

    def failing(self, argument: bool, column: str) -> FailingRows:
        """Rows without a value."""
        return FailingRows(f"{column} IS NULL")
