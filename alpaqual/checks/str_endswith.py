"""The check `str_endswith`."""

from __future__ import annotations

from alpaqual.checks._ends import End


class Plugin(End):
    """Compares the end of the text."""

    DESCRIPTION = "The text ends so."
    FUNCTION = "ENDS_WITH"
    PANDERA = "str_endswith"
    PANDERA_ARGUMENT = "string"
