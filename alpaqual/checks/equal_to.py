"""The check `equal_to`."""

from __future__ import annotations

from typing import Any

from alpaqual.checks._members import Membership
from alpaqual.types import Scalar


class Plugin(Membership):
    """Compares the column with one allowed value."""

    DESCRIPTION = "The value is this."
    ARGUMENT = Scalar
    INSIDE = True
    PANDERA = "equal_to"

    def to_pandera(self, argument: Any) -> tuple[Any]:
        """pandera's check has the same name and argument."""
        return (argument,)
