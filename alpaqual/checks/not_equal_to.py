"""The check `not_equal_to`."""

from __future__ import annotations

from typing import Any

from alpaqual.checks._members import Membership
from alpaqual.types import Scalar


class Plugin(Membership):
    """Compares the column with one forbidden value."""

    DESCRIPTION = "The value is not this."
    ARGUMENT = Scalar
    INSIDE = False
    PANDERA = "not_equal_to"

    def to_pandera(self, argument: Any) -> tuple[Any]:
        """pandera's check has the same name and argument."""
        return (argument,)
