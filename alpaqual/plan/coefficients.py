"""SQL of coefficients over pairs of scores (`x`, `y`): rank correlation and weighted kappa.

Sums are of whole numbers, so that threads and the order of rows change no digit. An undefined measure (fewer than FEW rows, or
values that are all equal) is NULL.
"""

from __future__ import annotations

from alpaqual.quote import number
from alpaqual.recipe.graders import Scale

FEW = 3
"""Fewest rows of a correlation: any two points are on a line."""


def counted(pairs: str) -> str:
    """SQL: each pair (`x`, `y`) once, with its `rows`."""
    return f"SELECT x, y, COUNT(*) AS rows FROM ({pairs}) AS found GROUP BY x, y"


def spearman(pairs: str) -> str:
    """SQL: `rows`, and Spearman's rank correlation of the pairs (`x`, `y`), to six digits.

    That is Pearson's correlation of ranks, in which ties have the average of the ranks that they take up (Kendall and Gibbons,
    Rank Correlation Methods, 5th ed. 1990, section 3.8). Twice such a rank less the mean of all is the number of rows below
    less the number above: a whole number.
    """
    ranks = ", ".join(
        f"SUM(rows) OVER (ORDER BY {axis}) - SUM(rows) OVER (ORDER BY {axis} DESC) AS rank_{axis}"
        for axis in ("x", "y")
    )
    ranked = f"SELECT rows, {ranks} FROM ({counted(pairs)}) AS pairs"
    sums = (("rank_x", "rank_y"), ("rank_x", "rank_x"), ("rank_y", "rank_y"))
    together, of_x, of_y = (f"SUM(rows * {one} * {two})" for one, two in sums)
    spread = f"SQRT(CAST({of_x} AS DOUBLE)) * SQRT(CAST({of_y} AS DOUBLE))"
    defined = f"SUM(rows) >= {FEW} AND {of_x} > 0 AND {of_y} > 0"
    value = f"CASE WHEN {defined} THEN ROUND(CAST({together} AS DOUBLE) / ({spread}), 6) END"
    return f"SELECT {_total()}, {value} AS spearman FROM ({ranked}) AS ranked"


def kappa(pairs: str) -> str:
    """SQL: `rows`, and quadratic weighted kappa of counted pairs of steps (`x`, `y`, `rows`), to six digits.

    1 - sum(w * observed) / sum(w * expected by chance), with w = (x - y)^2 (Cohen, Weighted kappa, Psychological Bulletin
    70, 1968). Multiplied out, with n rows: 2 (n sum(xy) - sum(x) sum(y)) / (n sum(x^2 + y^2) - 2 sum(x) sum(y)).
    """
    products = "SUM(rows * x) * SUM(rows * y)"
    above = f"2 * (SUM(rows) * SUM(rows * x * y) - {products})"
    below = f"SUM(rows) * SUM(rows * (x * x + y * y)) - 2 * {products}"
    value = f"ROUND(CAST({above} AS DOUBLE) / CAST({below} AS DOUBLE), 6)"
    return f"SELECT {_total()}, CASE WHEN SUM(rows) >= {FEW} AND {below} > 0 THEN {value} END AS kappa FROM ({pairs}) AS pairs"


def _total() -> str:
    return "CAST(COALESCE(SUM(rows), 0) AS BIGINT) AS rows"


def step_of(score: str, scale: Scale) -> str:
    """SQL: the steps from the lowest score to a score, rounded to the nearest step."""
    return f"CAST(ROUND(({score} - {number(scale.min)}) / {number(scale.step or 1)}) AS BIGINT)"


def score_at(step: str, scale: Scale) -> str:
    """SQL: the score at a number of steps above the lowest."""
    return f"ROUND({number(scale.min)} + {step} * {number(scale.step or 1)}, 6)"
