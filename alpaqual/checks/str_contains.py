"""The check `str_contains`."""

from __future__ import annotations

from alpaqual.checks._patterns import Pattern


class Plugin(Pattern):
    """Searches the text."""

    DESCRIPTION = "The text matches this regular expression (RE2) somewhere."
    PANDERA = "str_contains"
    PANDERA_ARGUMENT = "pattern"
