"""Fits a grader's calibration: the map from its raw scores to the scores that people gave to the same rows."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.errors import RecipeError, StageError
from alpaqual.execution.isotonic import Knots, fit, mapped
from alpaqual.execution.known_scores import golden_measures
from alpaqual.execution.pilot import Known, read_golden
from alpaqual.plan.tables import CALIBRATION, RAW_GRADES, Table
from alpaqual.recipe.graders import Grader, Scale
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.scales import levels_of
from alpaqual.values import Row

FEWEST = 10
"""Fewest rows that a map is fitted on: with fewer it follows single scores."""
_FOLDS = 10
_PEOPLE = Table("people")
"""part, instruction, input, response of the rows that people scored."""


@dataclass(frozen=True)
class Rated:
    """A score that people gave: of the row number `part` of those that differ, with the grader's raw score."""

    part: int
    known: float
    raw: float | None


def read_people(engine: Engine, recipe: Recipe, grader_name: str) -> list[Known]:
    """The rows of a grader's calibration file; empty where it has none.

    Raises RecipeError where the file is wrong, has too few rows, or gives all of them one score.
    """
    calibrate = recipe.graders[grader_name].calibrate
    if calibrate is None:
        return []
    known, place = read_golden(engine, recipe, grader_name, calibrate), ("graders", grader_name, "calibrate", "file")
    different = len(distinct_rows(known))
    if different < FEWEST:
        message = f"{calibrate.file} has {different} different rows: a calibration needs {FEWEST} at least"
        raise RecipeError([recipe.problem(place, message)])
    if len({each.scores for each in known}) == 1:
        message = (
            f"every row of {calibrate.file} has the score {known[0].scores[0]:g}: there is nothing to fit a map to"
        )
        raise RecipeError([recipe.problem(place, message)])
    return known


def check_people(engine: Engine, recipe: Recipe, grader_name: str, *, golden: bool) -> None:
    """Read the file that a grader is calibrated by, and with `golden` that of its golden rows. Raises RecipeError where one is wrong."""
    named = recipe.graders[grader_name].health.golden
    if golden and named is not None:
        read_golden(engine, recipe, grader_name, named)
    read_people(engine, recipe, grader_name)


def distinct_rows(known: Sequence[Known]) -> dict[tuple[str, str, str], Row]:
    """The rows by their texts: one that several people scored comes once."""
    rows: dict[tuple[str, str, str], Row] = {}
    for each in known:
        rows.setdefault(_texts(each.row), each.row)
    return rows


def not_among(people: Sequence[Known], known: Sequence[Known]) -> list[Known]:
    """People's rows, each once, without those that are among `known`: the same texts are the same request."""
    there = {_texts(each.row) for each in known}
    return [Known(row, (0.0,)) for texts, row in distinct_rows(people).items() if texts not in there]


def rated(known: Sequence[Known], scores: Sequence[float | None]) -> list[Rated]:
    """People's scores beside raw ones; `scores` has one for each of the distinct rows, in their order."""
    parts = {texts: part for part, texts in enumerate(distinct_rows(known))}
    return [Rated(part := parts[_texts(each.row)], each.scores[0], scores[part]) for each in known]


def raw_scores(engine: Engine, known: Sequence[Known]) -> list[float | None]:
    """The raw scores of people's rows that are in the data; None for a row that is not there or has none."""
    found = scores_in_data(engine, known, RAW_GRADES)
    return [found.get(part) for part in range(len(distinct_rows(known)))]


def golden_in_data(engine: Engine, recipe: Recipe, grader_name: str, table: Table) -> dict[str, Any]:
    """What is measured of the golden rows that are in the data, for a grader that sends no requests (`GoldenFacts`).

    `table` has its grades, before a calibration. Raises RecipeError where the file is wrong.
    """
    grader = recipe.graders[grader_name]
    assert grader.health.golden is not None
    known = read_golden(engine, recipe, grader_name, grader.health.golden)
    found = scores_in_data(engine, known, table)
    parts = {texts: part for part, texts in enumerate(distinct_rows(known))}
    there = [each for each in known if parts[_texts(each.row)] in found]
    pairs = [(each.scores[0], found[parts[_texts(each.row)]]) for each in there]
    measures = golden_measures(engine, pairs, grader.health.golden.within, grader.scale)
    return {**measures, "left_out": len(known) - len(there)}


def scores_in_data(engine: Engine, known: Sequence[Known], table: Table) -> dict[int, float | None]:
    """The scores in `table` of those distinct rows that are in the data, found by their texts; None for one without."""
    rows = list(distinct_rows(known))
    columns = ", ".join(f"CAST(NULL AS VARCHAR) AS {column}" for column in ("instruction", "input", "response"))
    what = "people's scores"
    engine.create(_PEOPLE.name, f"SELECT CAST(NULL AS BIGINT) AS part, {columns} WHERE FALSE", what)
    try:
        engine.insert(_PEOPLE.name, [(part, *texts) for part, texts in enumerate(rows)], what)
        same = "rows.instruction = people.instruction AND COALESCE(rows.input, '') = people.input AND rows.response = people.response"
        query = (
            f"SELECT people.part AS part, AVG(raw.score) AS score FROM {_PEOPLE} AS people JOIN rows ON {same} "
            f"JOIN {table} AS raw ON raw.n = rows.n GROUP BY people.part"
        )
        return {each["part"]: each["score"] for each in engine.facts(query, what)}
    finally:
        engine.drop(_PEOPLE.name)


def fit_calibration(grader_name: str, grader: Grader, rates: Sequence[Rated]) -> dict[str, Any]:
    """Fit the map, and measure its error on rows that it was not fitted on: facts of the stage (`CalibrationFacts`).

    Raises StageError where too few rows have a raw score, or the map gives all rows one score.
    """
    file = "" if grader.calibrate is None else grader.calibrate.file
    points = [(each.part, each.raw, each.known) for each in rates if each.raw is not None]
    different = len({part for part, _, _ in points})
    if different < FEWEST:
        found = (
            f"{different} of {len({each.part for each in rates})} rows of {file} have a score of grader {grader_name}"
        )
        where = (
            "" if grader.model is not None else "; a grader without a model scores the rows that are in the data alone"
        )
        raise StageError(f"{found}: a calibration needs {FEWEST} at least{where}")
    knots = fit((raw, known) for _, raw, known in points)
    if len({score for _, score in knots}) == 1:
        why = "its scores and people's are unrelated, or go in opposite directions"
        if len({raw for _, raw, _ in points}) == 1:
            why = f"it gave each of the {different} rows the score {points[0][1]:g}"
        raise StageError(
            f"grader {grader_name} cannot be calibrated by {file}: the map would give every row one score, since {why}"
        )
    folds = min(_FOLDS, different)
    return {
        "rows": len(points),
        "unscored": len(rates) - len(points),
        "folds": folds,
        "raw_error": _mean([abs(raw - known) for _, raw, known in points]),
        "fitted_error": _mean([abs(mapped(knots, raw) - known) for _, raw, known in points]),
        "held_out_error": _mean(_held_out(points, folds)),
        "knots": [{"raw": raw, "score": score} for raw, score in knots],
        "levels": _levels(points, levels_of(grader.scale)),
    }


def make_map(engine: Engine, knots: Sequence[dict[str, float]]) -> None:
    """Fill the table of the map: a segment between two knots, and one below and one above all of them."""
    numbers = ", ".join(f"CAST(NULL AS DOUBLE) AS {column}" for column in ("low", "high", "base", "start", "slope"))
    points = [(each["raw"], each["score"]) for each in knots]
    (first, lowest), (last, highest) = points[0], points[-1]
    segments = [(-math.inf, first, first, lowest, 0.0), (last, math.inf, last, highest, 0.0)]
    segments += [(x, after, x, y, (above - y) / (after - x)) for (x, y), (after, above) in itertools.pairwise(points)]
    engine.create(CALIBRATION.name, f"SELECT {numbers} WHERE FALSE", "calibration")
    engine.insert(CALIBRATION.name, segments, "calibration")


def _held_out(points: Sequence[tuple[int, float, float]], folds: int) -> list[float]:
    """The errors of each part of the rows under a map that was fitted on the others."""
    order = {part: index % folds for index, part in enumerate(dict.fromkeys(part for part, _, _ in points))}
    errors = []
    for fold in range(folds):
        knots: Knots = fit((raw, known) for part, raw, known in points if order[part] != fold)
        errors += [abs(mapped(knots, raw) - known) for part, raw, known in points if order[part] == fold]
    return errors


def _levels(points: Sequence[tuple[int, float, float]], scale: Scale) -> list[dict[str, float]]:
    found: dict[int, list[float]] = defaultdict(list)
    for _, raw, known in points:
        found[math.floor((raw - scale.min) / (scale.step or 1) + 0.5)].append(known)
    return [
        {"raw": round(scale.min + level * (scale.step or 1), 6), "rows": len(known), "mean": _mean(known)}
        for level, known in sorted(found.items())
    ]


def _mean(values: Sequence[float]) -> float:
    return round(math.fsum(values) / len(values), 6)


def _texts(row: Row) -> tuple[str, str, str]:
    return (row.instruction, row.input, row.response)
