"""The check `str_matches`."""

from __future__ import annotations

from alpaqual.checks._patterns import Pattern


class Plugin(Pattern):
    """Matches the start of the text."""

    DESCRIPTION = "The text matches this regular expression (RE2) from its start."
    PANDERA = "str_matches"
    PANDERA_ARGUMENT = "pattern"

    def pattern(self, argument: str) -> str:
        """The regular expression, held to the start of the text."""
        return f"^(?:{argument})"
