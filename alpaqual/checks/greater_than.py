"""The check `greater_than`."""

from __future__ import annotations

from alpaqual.checks._numbers import Comparison


class Plugin(Comparison):
    """Compares a number with its lower bound."""

    DESCRIPTION = "The number is greater."
    OPERATOR = ">"
    PANDERA = "greater_than"
    PANDERA_ARGUMENT = "min_value"
