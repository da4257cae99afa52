"""The check `str_startswith`."""

from __future__ import annotations

from alpaqual.checks._ends import End


class Plugin(End):
    """Compares the start of the text."""

    DESCRIPTION = "The text starts so."
    FUNCTION = "STARTS_WITH"
    PANDERA = "str_startswith"
    PANDERA_ARGUMENT = "string"
