"""Verdicts and the figures made of them: pure functions over what judges said."""
