"""The check `greater_than_or_equal_to`."""

from __future__ import annotations

from alpaqual.checks._numbers import Comparison


class Plugin(Comparison):
    """Compares a number with its lower bound."""

    DESCRIPTION = "The number is this or greater."
    OPERATOR = ">="
    PANDERA = "greater_than_or_equal_to"
    PANDERA_ARGUMENT = "min_value"
