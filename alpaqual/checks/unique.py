"""The check `unique`."""

from __future__ import annotations

from alpaqual.contracts import Check, FailingRows


class Plugin(Check):
    """Finds values that several rows share."""

    DESCRIPTION = "No other row has the same value; all rows that share one fail."
    ARGUMENT = bool
    SWITCH = True
    PANDERA = "unique"

    def failing(self, argument: bool, column: str) -> FailingRows:
        """Every row whose value another row has too."""
        shared = f"SELECT {column} FROM rows WHERE {column} IS NOT NULL GROUP BY {column} HAVING COUNT(*) > 1"
        return FailingRows(query=f"SELECT n FROM rows WHERE {column} IN ({shared})")
