"""Scales of scores, compared as decimal numbers."""

from __future__ import annotations

from alpaqual.amounts import exact
from alpaqual.recipe.graders import Grader, Scale

_LONGEST = 10**12
"""Denominator of the numbers that have no end as decimals, such as a third."""


def on_scale(score: float, scale: Scale) -> str:
    """Why a score is not on the scale; "" where it is."""
    if not scale.min <= score <= scale.max:
        return f"is off the scale {scale.min:g} to {scale.max:g}"
    if scale.step and _is_written(scale.step) and (exact(score) - exact(scale.min)) % exact(scale.step):
        return f"is no step of the scale {scale.min:g} to {scale.max:g} by {scale.step:g}"
    return ""


def _is_written(step: float) -> bool:
    """Whether a step is a decimal number: no threshold can be written on thirds, the steps of a mean of three."""
    return exact(step).denominator < _LONGEST


def common_steps(one: Grader, other: Grader) -> Scale | None:
    """The scale of two graders where it is the same and has steps; None elsewhere, where no distance in steps is defined."""
    scale = one.scale_of_thresholds
    return scale if scale.step is not None and scale == other.scale_of_thresholds else None


def levels_of(scale: Scale) -> Scale:
    """The scale with the steps that scores are compared in: its own, or tenths of it where it has none."""
    return scale if scale.step is not None else Scale(min=scale.min, max=scale.max, step=(scale.max - scale.min) / 10)


def scale_problem(scale: Scale) -> str:
    """The problem of a scale; "" where it has none."""
    if scale.min >= scale.max:
        return "the scale's 'min' must be below its 'max'"
    if scale.step and (exact(scale.max) - exact(scale.min)) % exact(scale.step):
        return f"steps of {scale.step:g} from {scale.min:g} do not reach {scale.max:g}"
    return ""
