"""The check `not_matches`."""

from __future__ import annotations

from alpaqual.checks._patterns import Pattern


class Plugin(Pattern):
    """Searches the text for what must not be in it."""

    DESCRIPTION = "The text matches this regular expression (RE2) nowhere."
    FAILS = "REGEXP_MATCHES({text}, {pattern})"
