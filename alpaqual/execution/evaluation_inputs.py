"""The files that an evaluation reads: test sets, models, answers and recorded replies, each by its digest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from alpaqual.plan.answering import answering_models
from alpaqual.plan.answering import test_set_key as test_set_key
from alpaqual.recipe.evaluation import Evaluation
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.yaml_nodes import Path as Place

Input = tuple[Literal["file", "model"], str, str, Place]
"""Kind, key among the digests, path in the recipe, and place."""


def evaluation_inputs(recipe: Recipe, evaluation: Evaluation) -> Iterator[Input]:
    """What an evaluation reads besides test sets."""
    if evaluation.replies is not None:
        yield "file", evaluation.replies, evaluation.replies, ("evaluation", "replies")
        return
    asked = answering_models(recipe, evaluation)
    for name, model in evaluation.models.items():
        place: Place = ("evaluation", "models", name)
        if model.answers is not None:
            yield "file", model.answers, model.answers, (*place, "answers")
        elif name in asked:
            yield from _model(model, (*place, "model"))
    for name, judge in evaluation.named_judges.items():
        yield from _model(judge, (*evaluation.judge_place(name), "model"))


def _model(settings: ModelSettings, place: Place) -> Iterator[Input]:
    if settings.model is None:
        return
    if settings.plugin.RECORDED:
        yield "file", settings.model, settings.model_name, place
    elif settings.plugin.LOCAL:
        yield "model", settings.model, settings.model_name, place
