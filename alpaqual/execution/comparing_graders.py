"""Compares two graders of one run, or of two, on the rows that both scored: by the share of each one's scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.engines import viewing
from alpaqual.errors import Problem, RecipeError, StageError
from alpaqual.execution.run import Run
from alpaqual.plan.coefficients import FEW, counted, kappa, spearman
from alpaqual.plan.tables import Table
from alpaqual.quote import literal, number
from alpaqual.recipe.schema_errors import suggest
from alpaqual.results.comparison import ChangedRow, ComparedBar, ComparedGrader, GraderComparison, Sides
from alpaqual.results.graders import GraderResult, ScoreScale
from alpaqual.results.results import Results

_PAIRS = Table("compared")
"""n (in the first run), id, first, second (scores), x, y (their shares of the scale) of the rows of both runs."""
_MOST_BARS, _TENTHS = 20, 10
_TEXT = 600
"""Characters of a row's texts."""


@dataclass(frozen=True)
class Choice:
    """A grader of a run, and the threshold that it is judged by; None takes the run's own."""

    run: Run
    grader: str
    threshold: float | None = None

    @property
    def result(self) -> GraderResult:
        """What the run found of the grader."""
        return self.run.results.graders[self.grader]


def choose(first: Run, second: Run | None, grader: str | None, other: str | None) -> tuple[str, str]:
    """The names of two graders: as given, or the only ones that can be meant.

    Raises RecipeError where a name is unknown or missing.
    """
    there, here = _scoring(first.results), _scoring((second or first).results)
    if grader is None:
        grader, other = _guessed(there, here, other, runs=1 if second is None else 2)
    elif other is None and second is not None:
        other = grader if grader in here else _only(here)
    for option, name, known in (("--grader", grader, there), ("--with", other, here)):
        if name is None:
            listed = ", ".join(known) or "none with a score"
            raise _wrong(option, f"name the grader; there are: {listed}")
        if name not in known:
            hint = suggest(name, known) or f"; there are: {', '.join(known) or 'none with a score'}"
            raise _wrong(option, f"the run has no scores of a grader '{name}'{hint}")
    assert grader is not None and other is not None
    if second is None and grader == other:
        raise _wrong("--with", f"'{other}' is the same grader: name another one, or a second run")
    return grader, other


def _guessed(
    there: Sequence[str], here: Sequence[str], other: str | None, *, runs: int
) -> tuple[str | None, str | None]:
    """The first grader, and the second where it is not named: two of one run, or the same of both runs."""
    if other is not None:
        return _only(there) if other not in there or runs == 1 else other, other
    if runs == 1:
        return (there[0], there[1]) if len(there) == 2 else (None, None)
    both = _only([name for name in there if name in here])
    return (both, both) if both is not None else (_only(there), _only(here))


def _only(names: Sequence[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def compare(first: Choice, second: Choice, *, examples: int = 5) -> GraderComparison:
    """Compare two graders on the rows that both scored; rows of two runs are the same where their row ids are.

    Raises RecipeError where no row is in both runs or a threshold is off its scale, StageError where a run's tables are gone.
    """
    limits = _thresholds(first, second)
    tables = {"rows": first.run.folder / "tables" / "rows.parquet"}
    tables |= {f"{side}_grades": each.run.folder / "tables" / "grades.parquet" for side, each in _sides(first, second)}
    _check_tables(tables)
    with viewing(tables) as engine:
        engine.create(_PAIRS.name, _pairs(first, second), "comparing graders")
        (counts,) = engine.facts(_counts(), "comparing graders")
        if not counts["common"]:
            raise _wrong("RUN", "no row is in both runs: row ids are made from the rows' texts, and none is the same")
        levels = _levels(first.result.scale, second.result.scale)
        compared = [
            _compared(choice, counts, side, limit, _keeps(engine, side, limit))
            for (side, choice), limit in zip(_sides(first, second), limits, strict=True)
        ]
        return GraderComparison(
            first=compared[0],
            second=compared[1],
            common=counts["common"],
            rows=counts["rows"],
            pearson=_number(counts["pearson"]) if counts["rows"] >= FEW else None,
            spearman=_coefficient(engine, spearman(f"SELECT x, y FROM {_PAIRS} WHERE {_BOTH}"), "spearman"),
            kappa=_coefficient(engine, kappa(counted(_in_levels(levels))), "kappa"),
            levels=levels,
            mean_difference=_number(counts["difference"]),
            mean_distance=_number(counts["distance"]),
            histogram=_histogram(engine, levels if levels <= _MOST_BARS else _TENTHS),
            sides=_changes(engine, *limits, examples),
        )


_BOTH = "first IS NOT NULL AND second IS NOT NULL"


def _sides(first: Choice, second: Choice) -> tuple[tuple[str, Choice], tuple[str, Choice]]:
    return ("first", first), ("second", second)


def _pairs(first: Choice, second: Choice) -> str:
    shares = [
        f"({side} - {number(scale.min)}) / {number(scale.max - scale.min)} AS {axis}"
        for (side, choice), axis in zip(_sides(first, second), "xy", strict=True)
        for scale in (choice.result.scale,)
    ]
    one, other = (
        f"(SELECT n, id, score FROM {side}_grades WHERE grader = {literal(choice.grader)}) AS {side}_scores"
        for side, choice in _sides(first, second)
    )
    scores = "first_scores.n AS n, first_scores.id AS id, first_scores.score AS first, second_scores.score AS second"
    joined = f"SELECT {scores} FROM {one} JOIN {other} ON second_scores.id = first_scores.id"
    return f"SELECT n, id, first, second, {', '.join(shares)} FROM ({joined}) AS joined"


def _counts() -> str:
    return (
        f"SELECT COUNT(*) AS common, COUNT(*) FILTER ({_BOTH}) AS rows, COUNT(*) FILTER (first IS NOT NULL AND second IS NULL) AS "
        "alone_first, COUNT(*) FILTER (first IS NULL AND second IS NOT NULL) AS alone_second, "
        f"CASE WHEN STDDEV_POP(x) FILTER ({_BOTH}) > 0 AND STDDEV_POP(y) FILTER ({_BOTH}) > 0 THEN ROUND(CORR(x, y), 6) END AS pearson, "
        f"ROUND(AVG(y - x) FILTER ({_BOTH}), 6) AS difference, ROUND(AVG(ABS(y - x)) FILTER ({_BOTH}), 6) AS distance, "
        f"ROUND(AVG(first) FILTER ({_BOTH}), 6) AS mean_first, ROUND(AVG(second) FILTER ({_BOTH}), 6) AS mean_second FROM {_PAIRS}"
    )


def _compared(
    choice: Choice, counts: Mapping[str, Any], side: str, limit: _Threshold | None, keeps: int | None
) -> ComparedGrader:
    found, graders = choice.result, choice.run.results.graders
    # One score of several has no requests of its own: those of the grader that asks for all.
    asking = graders.get(choice.grader.rpartition(".")[0])
    paid = found if found.calls_made or found.calls_reused or asking is None else asking
    return ComparedGrader(
        run=str(choice.run.folder),
        grader=choice.grader,
        source=found.source,
        scale=found.scale,
        calibrated=found.calibration is not None,
        mean=_number(counts[f"mean_{side}"]),
        scored_alone=counts[f"alone_{side}"],
        threshold=None if limit is None else limit.score,
        threshold_from=None if limit is None else limit.origin,
        keeps=keeps,
        calls=paid.calls_made + paid.calls_reused,
        cost_usd=round(paid.cost_usd + paid.bought_usd, 8),
    )


@dataclass(frozen=True)
class _Threshold:
    score: float
    origin: str


def _thresholds(first: Choice, second: Choice) -> tuple[_Threshold | None, _Threshold | None]:
    """The threshold of each: as given, else the first dataset's of its run, else the other's at the same share of the scale."""
    one, two = (_own_threshold(choice, side) for side, choice in _sides(first, second))
    if one is None and two is not None:
        one = _Threshold(_moved(two.score, second.result.scale, first.result.scale), "the same share of the scale")
    elif two is None and one is not None:
        two = _Threshold(_moved(one.score, first.result.scale, second.result.scale), "the same share of the scale")
    return one, two


def _own_threshold(choice: Choice, side: str) -> _Threshold | None:
    scale, option = choice.result.scale, "--threshold" if side == "first" else "--with-threshold"
    if choice.threshold is not None:
        if not scale.min <= choice.threshold <= scale.max:
            what = f"{choice.threshold:g} is off the scale {scale.min:g} to {scale.max:g} of {choice.grader}"
            raise _wrong(option, what)
        return _Threshold(choice.threshold, option)
    for name, dataset in choice.run.results.datasets.items():
        if choice.grader in dataset.threshold:
            return _Threshold(dataset.threshold[choice.grader], f"dataset {name}")
    return None


def _moved(score: float, scale: ScoreScale, to: ScoreScale) -> float:
    """A score at the same share of another scale."""
    return round(to.min + (score - scale.min) / (scale.max - scale.min) * (to.max - to.min), 6)


def _levels(*scales: ScoreScale) -> int:
    """The steps of the coarser scale; ten where neither has steps."""
    steps = [round((scale.max - scale.min) / scale.step) for scale in scales if scale.step is not None]
    return min(steps, default=_TENTHS)


def _in_levels(levels: int) -> str:
    x, y = (f"CAST(ROUND(ROUND({axis} * {levels}, 6)) AS BIGINT) AS {axis}" for axis in "xy")
    return f"SELECT {x}, {y} FROM {_PAIRS} WHERE {_BOTH}"


def _histogram(engine: Engine, bars: int) -> list[ComparedBar]:
    counts = ", ".join(f"COUNT(*) FILTER (side = '{side}') AS {side}" for side in ("first", "second"))
    both = _in_levels(bars)
    united = f"SELECT x AS bar, 'first' AS side FROM ({both}) AS a UNION ALL SELECT y AS bar, 'second' AS side FROM ({both}) AS b"
    found = engine.facts(f"SELECT bar, {counts} FROM ({united}) AS united GROUP BY bar ORDER BY bar", "histograms")
    rows = {each["bar"]: (each["first"], each["second"]) for each in found}
    return [
        ComparedBar(share=round(bar / bars, 6), first=rows.get(bar, (0, 0))[0], second=rows.get(bar, (0, 0))[1])
        for bar in range(bars + 1)
    ]


def _keeps(engine: Engine, side: str, limit: _Threshold | None) -> int | None:
    if limit is None:
        return None
    query = f"SELECT COUNT(*) AS rows FROM {_PAIRS} WHERE {_BOTH} AND {side} >= {number(limit.score)}"
    kept: int = engine.facts(query, "thresholds")[0]["rows"]
    return kept


def _changes(engine: Engine, first: _Threshold | None, second: _Threshold | None, examples: int) -> Sides | None:
    if first is None or second is None:
        return None
    one, two = f"first >= {number(first.score)}", f"second >= {number(second.score)}"
    cases = {
        "both": f"{one} AND {two}",
        "neither": f"NOT ({one}) AND NOT ({two})",
        "only_first": f"{one} AND NOT ({two})",
        "only_second": f"NOT ({one}) AND {two}",
    }
    counted_cases = ", ".join(f"COUNT(*) FILTER ({condition}) AS {case}" for case, condition in cases.items())
    (found,) = engine.facts(f"SELECT {counted_cases} FROM {_PAIRS} WHERE {_BOTH}", "thresholds")
    own = "rows.own_id" if "own_id" in engine.columns("rows") else "CAST(NULL AS VARCHAR)"
    texts = ", ".join(f"LEFT(rows.{field}, {_TEXT}) AS {field}" for field in ("instruction", "response"))
    ranked = [
        f"SELECT * FROM (SELECT *, ABS(y - x) AS apart FROM {_PAIRS} WHERE {_BOTH} AND {cases[case]} ORDER BY apart DESC, id LIMIT {examples}) AS {case}"
        for case in ("only_first", "only_second")
    ]
    chosen = (
        f"SELECT pairs.id AS id, {own} AS own_id, pairs.first AS first, pairs.second AS second, {texts} "
        f"FROM ({' UNION ALL '.join(ranked)}) AS pairs JOIN rows ON rows.n = pairs.n ORDER BY pairs.apart DESC, pairs.id"
    )
    rows = [ChangedRow(**row) for row in engine.facts(chosen, "changed rows")]
    return Sides(**found, rows=rows)


def _coefficient(engine: Engine, query: str, column: str) -> float | None:
    value: float | None = engine.facts(query, "comparing graders")[0][column]
    return value


def _scoring(results: Results) -> list[str]:
    """The graders that scored a row."""
    return [name for name, grader in results.graders.items() if grader.histogram]


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _check_tables(tables: Mapping[str, Path]) -> None:
    for path in tables.values():
        if not path.is_file():
            raise StageError(f"{path} is gone; run the recipe again: alpaqual run RECIPE")


def _wrong(what: str, why: str) -> RecipeError:
    return RecipeError([Problem(what, 0, 0, why)])
