"""The check `less_than`."""

from __future__ import annotations

from alpaqual.checks._numbers import Comparison


class Plugin(Comparison):
    """Compares a number with its upper bound."""

    DESCRIPTION = "The number is less."
    OPERATOR = "<"
    PANDERA = "less_than"
    PANDERA_ARGUMENT = "max_value"
