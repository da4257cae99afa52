"""Limits of rules, sources and health checks: a count of rows or a percentage, compared exactly."""

from __future__ import annotations

from fractions import Fraction

from alpaqual.amounts import exact


def beyond(count: int, whole: int, limit: int | str) -> bool:
    """Return whether a count is more than a limit, which is a count or a percentage of `whole`."""
    return Fraction(count) > bound(limit, whole)


def share_beyond(part: int, whole: int, limit: float | str) -> bool:
    """Return whether `part` of `whole` is more than a limit, which is a share from 0 to 1 or a percentage."""
    return Fraction(part) > (bound(limit, whole) if isinstance(limit, str) else exact(limit) * whole)


def bound(limit: float | str, whole: int) -> Fraction:
    """Return a limit as a number of rows."""
    if isinstance(limit, str):
        return exact(float(limit.rstrip("%"))) * whole / 100
    return exact(limit)
