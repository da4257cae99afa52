"""The check `less_than_or_equal_to`."""

from __future__ import annotations

from alpaqual.checks._numbers import Comparison


class Plugin(Comparison):
    """Compares a number with its upper bound."""

    DESCRIPTION = "The number is this or less."
    OPERATOR = "<="
    PANDERA = "less_than_or_equal_to"
    PANDERA_ARGUMENT = "max_value"
