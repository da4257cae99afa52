"""What a run found of a grader's calibration: the map at each raw score, its errors, and thresholds on both scales."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from alpaqual.execution.isotonic import Knots, lowest_at, mapped
from alpaqual.plan.assessing import MOST_STEPS
from alpaqual.plan.facts import CalibrationFacts, GradeFacts
from alpaqual.recipe.graders import Grader, Scale
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.scales import levels_of
from alpaqual.results.graders import CalibrationLevel, CalibrationResult, MapKnot, ThresholdPosition

FEW = 50
"""A map that was fitted on fewer scores follows chance: the run warns."""


def calibration_result(name: str, recipe: Recipe, grades: GradeFacts) -> CalibrationResult | None:
    """Return the calibration of a grader; None where it has none."""
    grader = recipe.graders[name]
    if grader.calibrate is None or not grades.calibration:
        return None
    facts = grades.calibration[0]
    knots = [(knot.raw, knot.score) for knot in facts.knots]
    positions = [
        ThresholdPosition(
            dataset=each, threshold=dataset.threshold[name], raw=raw_threshold(knots, dataset.threshold[name], grader)
        )
        for each, dataset in recipe.datasets.items()
        if name in dataset.threshold
    ]
    return CalibrationResult(
        file=grader.calibrate.file,
        rows=facts.rows,
        unscored=facts.unscored,
        folds=facts.folds,
        raw_error=facts.raw_error,
        fitted_error=facts.fitted_error,
        held_out_error=facts.held_out_error,
        levels=_levels(knots, facts, grader.scale),
        knots=[MapKnot(raw=raw, score=score) for raw, score in knots],
        thresholds=positions,
    )


def calibration_warnings(name: str, found: CalibrationResult) -> Iterator[str]:
    """Yield what is doubtful about a calibration."""
    called = f"grader {name}: the calibration by {found.file}"
    if found.rows < FEW:
        yield f"{called} was fitted on {found.rows:,} scores of people; with fewer than {FEW} it follows chance"
    if found.unscored:
        yield f"{called} leaves out {found.unscored:,} of {found.rows + found.unscored:,} scores of people: their rows have no raw score"
    if found.held_out_error >= found.raw_error:
        yield (
            f"{called} does not come closer to people: on rows that it was not fitted on, the mean error is "
            f"{found.held_out_error:.2f}, and that of the raw scores {found.raw_error:.2f}"
        )
    highest = found.knots[-1].score
    for each in found.thresholds:
        if each.raw is None:
            yield f"{called} maps no score to {each.threshold:g} or above, the threshold of {each.dataset}: the highest is {highest:g}"


def raw_threshold(knots: Knots, threshold: float, grader: Grader) -> float | None:
    """The lowest raw score that is mapped to a threshold or above, on the steps of a model's scores; None where none is."""
    scale, lowest = grader.scale, lowest_at(knots, threshold)
    if knots[0][1] >= threshold:
        return scale.min
    step = (
        msgspec.structs.replace(grader, calibrate=None).scale_of_thresholds.step if grader.model is not None else None
    )
    if lowest is None or step is None:
        # Rounded up: the score at this position is at the threshold or above it.
        return None if lowest is None else math.ceil(round(lowest * 1e6, 3)) / 1e6
    return round(scale.min + math.ceil(round((lowest - scale.min) / step, 6)) * step, 6)


def _levels(knots: Knots, facts: CalibrationFacts, scale: Scale) -> list[CalibrationLevel]:
    steps = levels_of(scale)
    step = steps.step or 1
    people = {level.raw: level for level in facts.levels}
    count = round((steps.max - steps.min) / step)
    raws = [round(steps.min + index * step, 6) for index in range(count + 1)] if count < MOST_STEPS else sorted(people)
    return [
        CalibrationLevel(
            raw=raw,
            score=mapped(knots, raw),
            rows=people[raw].rows if raw in people else 0,
            mean=people[raw].mean if raw in people else None,
        )
        for raw in raws
    ]
