"""Arguments of two bounds."""

from __future__ import annotations


def bounds_problem(check: str, low: float | None, high: float | None) -> str:
    """What is wrong with two bounds of a check, or nothing."""
    if low is None and high is None:
        return f"'{check}' needs 'min', 'max' or both"
    if low is not None and high is not None and low > high:
        return f"'{check}' has a 'min' above its 'max'"
    return ""
