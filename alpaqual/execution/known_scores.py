"""Compares a grader's scores of rows with the scores that people gave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.plan.coefficients import counted, kappa, score_at, spearman, step_of
from alpaqual.plan.tables import Table
from alpaqual.recipe.graders import Scale
from alpaqual.recipe.scales import levels_of

_KNOWN = Table("known_scores")
"""known, score of the rows that are compared."""


def golden_measures(
    engine: Engine, pairs: Sequence[tuple[float, float | None]], within: float, scale: Scale
) -> dict[str, Any]:
    """Count the rows whose score is more than `within` off, or missing, and compare the pairs (`GoldenFacts`)."""
    errors = [round(abs(score - known), 9) for known, score in pairs if score is not None]
    wrong = len(pairs) - sum(error <= within for error in errors)
    mean = round(sum(errors) / len(errors), 6) if errors else None
    counts = {"rows": len(pairs), "scored": len(errors), "wrong": wrong, "mean_error": mean}
    return counts | compare_with_known(engine, pairs, scale)


def compare_with_known(engine: Engine, pairs: Sequence[tuple[float, float | None]], scale: Scale) -> dict[str, Any]:
    """Compare (known score, grader's score) pairs; a row that the grader left unscored has None.

    Returns `spearman`; `kappa`, weighted by the square of the distance in levels; `bias`, the mean of the grader's score less the
    known one; `levels` (rows, scored, mean, bias of each known level) and `confusion` (known, score, rows). Levels are the steps
    of the scale, or tenths of a scale without steps; a score between two levels counts as the nearer one. What is undefined is
    None.
    """
    steps, what = levels_of(scale), "known scores"
    engine.create(
        str(_KNOWN.name), "SELECT CAST(NULL AS DOUBLE) AS known, CAST(NULL AS DOUBLE) AS score WHERE FALSE", what
    )
    try:
        engine.insert(_KNOWN.name, pairs, what)
        scored = f"FROM {_KNOWN} WHERE score IS NOT NULL"
        in_steps = counted(f"SELECT {step_of('known', steps)} AS x, {step_of('score', steps)} AS y {scored}")
        cells = f"{score_at('x', steps)} AS known, {score_at('y', steps)} AS score, rows"
        by_level = (
            f"SELECT {step_of('known', steps)} AS step, COUNT(*) AS rows, COUNT(score) AS scored, ROUND(AVG(score), 6) AS mean, "
            f"ROUND(AVG(score - known), 6) AS bias FROM {_KNOWN} GROUP BY step"
        )
        return {
            "spearman": _value(engine, spearman(f"SELECT known AS x, score AS y {scored}"), "spearman"),
            "kappa": _value(engine, kappa(in_steps), "kappa"),
            "bias": _value(engine, f"SELECT ROUND(AVG(score - known), 6) AS bias {scored}", "bias"),
            "levels": engine.facts(
                f"SELECT {score_at('step', steps)} AS level, rows, scored, mean, bias FROM ({by_level}) AS levels ORDER BY step",
                what,
            ),
            "confusion": engine.facts(f"SELECT {cells} FROM ({in_steps}) AS pairs ORDER BY x, y", what),
        }
    finally:
        engine.drop(_KNOWN.name)


def _value(engine: Engine, query: str, column: str) -> float | None:
    (found,) = engine.facts(query, "known scores")
    value: float | None = found[column]
    return value
