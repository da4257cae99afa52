"""Limits: a count of rows or a percentage, compared exactly."""

from __future__ import annotations

from fractions import Fraction

from alpaqual.recipe.scales import exact


def rate(part: int, whole: int) -> float:
    """A share, rounded so that it is the same text everywhere; 0 of 0 is 0."""
    return round(part / whole, 6) if whole else 0.0


def beyond(count: int, whole: int, limit: int | str) -> bool:
    """Whether a count is more than a limit, which is a count or a percentage of `whole`; exact."""
    return Fraction(count) > bound(limit, whole)


def share_beyond(part: int, whole: int, limit: float | str) -> bool:
    """Whether `part` of `whole` is more than a limit, which is a share from 0 to 1 or a percentage; exact."""
    return Fraction(part) > (bound(limit, whole) if isinstance(limit, str) else exact(limit) * whole)


def bound(limit: float | str, whole: int) -> Fraction:
    """A limit as a number of rows."""
    if isinstance(limit, str):
        return exact(float(limit.rstrip("%"))) * whole / 100
    return exact(limit)
