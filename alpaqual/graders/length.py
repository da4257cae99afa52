"""The length of the response, in characters, as a score. Needs no model."""

from __future__ import annotations


class Plugin:
    """A score that SQL computes."""

    VERSION = 1
    SCALE = (0.0, 1_000_000.0)
    PROBABILITIES = False
    EXPRESSION = "LENGTH(rows.response)"
    MISSING = "no response"
    TITLE = "length of the response"
