"""The check `notin`."""

from __future__ import annotations

from alpaqual.checks._members import Membership
from alpaqual.types import Scalars


class Plugin(Membership):
    """Compares the column with a list of forbidden values.

    pandera compares a list within one type alone, so the engine finds the rows.
    """

    DESCRIPTION = "The value is none of these."
    ARGUMENT = Scalars
    INSIDE = False
    PANDERA = "notin"
    PANDERA_ARGUMENT = "forbidden_values"
