"""Checks that match a text with a regular expression."""

from __future__ import annotations

from alpaqual import quote, sql
from alpaqual.contracts import Check, FailingRows
from alpaqual.patterns import pattern_problem


class Pattern(Check):
    """The text matches a regular expression, or does not.

    RE2, which runs the rules, differs from the regular expressions of pandera's engine: the engine finds the rows.
    """

    ARGUMENT = str
    FAILS = "NOT REGEXP_MATCHES({text}, {pattern})"

    def problem(self, argument: str) -> str:
        """Why RE2 cannot read the pattern."""
        return pattern_problem(argument)

    def pattern(self, argument: str) -> str:
        """The regular expression that is searched for."""
        return argument

    def failing(self, argument: str, column: str) -> FailingRows:
        """Rows whose text matches otherwise."""
        pattern = quote.literal(self.pattern(argument))
        return FailingRows(sql.or_false(self.FAILS.format(text=sql.text(column), pattern=pattern)))
