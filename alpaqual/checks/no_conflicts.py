"""The check `no_conflicts`."""

from __future__ import annotations

from alpaqual import sql
from alpaqual.contracts import Check, FailingRows


class Plugin(Check):
    """Compares the responses to the same instruction and input."""

    DESCRIPTION = "Rows with the same instruction and input have the same response; all that do not fail."
    ARGUMENT = bool
    SWITCH = True
    WHOLE_ROWS = True

    def failing(self, argument: bool, column: str) -> FailingRows:
        """Every row of a prompt that has several responses."""
        key = sql.joined_key(["COALESCE(instruction, '')", "COALESCE(input, '')"])
        query = (
            f"WITH keyed AS MATERIALIZED (SELECT n, {key} AS k, MD5(COALESCE(response, '')) AS said FROM rows) "
            "SELECT n FROM keyed WHERE k IN (SELECT k FROM keyed GROUP BY k HAVING MIN(said) <> MAX(said))"
        )
        return FailingRows(query=query, column="response", value="instruction")
