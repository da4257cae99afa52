"""Amounts as text: rows, US dollars and durations."""

from __future__ import annotations

import pytest

from alpaqual.amounts import counted_rows, dollars, duration, exact, rate


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0.00"),
        (1e-9, "<$0.0001"),
        (0.00004, "<$0.0001"),
        (0.0042, "$0.0042"),
        (0.00123, "$0.0012"),
        (0.01, "$0.01"),
        (0.0123, "$0.012"),
        (0.05, "$0.05"),
        (0.0999, "$0.10"),
        (0.5, "$0.50"),
        (5.0, "$5.00"),
        (1234.5, "$1,234.50"),
    ],
)
def test_dollars(usd: float, text: str) -> None:
    assert dollars(usd) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (1.0, "1 s"),
        (4.26, "4.3 s"),
        (89.7, "1 min 30 s"),
        (89.4, "89 s"),
        (125, "2 min 05 s"),
        (599.6, "10 min"),
        (3 * 3600 + 240, "3 h 04 min"),
        (1000 * 3600, "1,000 h 00 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counted_rows() -> None:
    assert [counted_rows(count) for count in (0, 1, 2, 52_002)] == ["0 rows", "1 row", "2 rows", "52,002 rows"]


def test_a_number_is_exact_as_it_is_written() -> None:
    assert exact(0.1) * 10 == 1
    assert (rate(1, 3), rate(0, 0)) == (0.333333, 0.0)
