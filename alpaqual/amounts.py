"""Amounts as text and as exact numbers: rows, shares, US dollars, durations."""

from __future__ import annotations

import math
from fractions import Fraction


def exact(number: float) -> Fraction:
    """Return the number as it is written, without binary rounding: 0.1 is one tenth."""
    return Fraction(repr(float(number)))


def rate(part: int, whole: int) -> float:
    """Return part / whole, rounded to six digits; 0 of 0 is 0."""
    return round(part / whole, 6) if whole else 0.0


def counted_rows(count: int) -> str:
    """Return a number of rows as text: "1 row", "2,000 rows"."""
    return "1 row" if count == 1 else f"{count:,} rows"


def dollars(usd: float) -> str:
    """Return US dollars as text: in cents, or to two significant digits where that is finer."""
    if not usd or usd >= 0.1:
        return f"${usd:,.2f}"
    if usd < 0.0001:
        return "<$0.0001"
    whole, _, cents = f"{usd:.{1 - math.floor(math.log10(usd))}f}".rstrip("0").partition(".")
    return f"${whole}.{cents:0<2}"


def duration(seconds: float) -> str:
    """Return a duration as text, the less precise the longer it is: "4.3 s", "89 s", "2 min 05 s", "3 h 04 min"."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s" if seconds >= 10 or seconds == whole else f"{seconds:.1f} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60:02} min"
