"""The check `isin`."""

from __future__ import annotations

from alpaqual.checks._members import Membership
from alpaqual.types import Scalars


class Plugin(Membership):
    """Compares the column with a list of allowed values.

    pandera compares a list within one type alone, so the engine finds the rows.
    """

    DESCRIPTION = "The value is one of these."
    ARGUMENT = Scalars
    INSIDE = True
    PANDERA = "isin"
    PANDERA_ARGUMENT = "allowed_values"
