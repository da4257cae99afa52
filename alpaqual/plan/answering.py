"""The stages `answering.<model>.<test set>`: the answers of one model to the questions of one test set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from alpaqual.plan.compilation import Compilation
from alpaqual.plan.evaluation_facts import AnswerFacts
from alpaqual.plan.facts import StageFacts
from alpaqual.plan.stage import KeptTable, Stage, Statement
from alpaqual.plan.tables import ANSWERED, answers
from alpaqual.plan.training import TrainStage
from alpaqual.recipe.evaluation import AnsweringModel, Evaluation
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.thinking import refuses_temperature

Prompt = Literal["alpaca", "chat"]
VERSION = 1
"""Raised when the same model and questions give other answers: part of every fingerprint."""


@dataclass(frozen=True, kw_only=True)
class AnswerStage(Stage):
    """Answers of one model, trained by this recipe or named in it, to one test set."""

    kind: ClassVar[str] = "answering"
    facts: ClassVar[type[StageFacts]] = AnswerFacts
    model: str
    test_set: str
    prompt: Prompt = "chat"
    """The prompt that the questions are put into."""

    @property
    def subject(self) -> str:
        return f"{self.model}.{self.test_set}"


def answer_stages(compilation: Compilation) -> Iterator[AnswerStage]:
    """A stage for each model of a pair and each test set."""
    evaluation = compilation.recipe.text.evaluation
    if evaluation is None or evaluation.replies is not None:
        return
    for test_set in evaluation.named_test_sets:
        for model in answering_models(compilation.recipe, evaluation):
            prompt = prompt_of(compilation.recipe, evaluation, model)
            statements: list[Statement] = [KeptTable(answers(f"{model}.{test_set}"), f"SELECT * FROM {ANSWERED}")]
            yield AnswerStage(
                model=model,
                test_set=test_set,
                prompt=prompt,
                settings=_settings(compilation, evaluation, model, test_set, prompt),
                inputs=compilation.inputs((TrainStage, model)) if model not in evaluation.models else (),
                statements=tuple(statements),
            )


def answering_models(recipe: Recipe, evaluation: Evaluation) -> list[str]:
    """The models that are asked: those of the pairs and references; all of them where the recipe names no pair."""
    named = [name for pair in evaluation.pairs for name in pair]
    trained = recipe.text.training.datasets if recipe.text.training is not None else []
    return list(dict.fromkeys([*(named or [*trained, *evaluation.models]), *evaluation.capability]))


def prompt_of(recipe: Recipe, evaluation: Evaluation, model: str) -> Prompt:
    """The prompt of a model's questions."""
    own = evaluation.models.get(model)
    if own is not None and own.prompt is not None:
        return own.prompt
    if evaluation.answers.prompt != "training":
        return evaluation.answers.prompt
    training = recipe.text.training
    return training.prompt if own is None and training is not None else "chat"


def test_set_key(name: str) -> str:
    """The key among the digests of a plan's files that has the digest of a test set's questions."""
    return f"test set {name}"


def answer_parameters(evaluation: Evaluation, own: AnsweringModel | None) -> dict[str, Any]:
    """The parameters of a request for an answer."""
    answers = evaluation.answers
    parameters: dict[str, Any] = {"max_tokens": answers.max_new_tokens, "temperature": answers.temperature}
    if own is None:
        return parameters
    if own.max_tokens is not None:
        parameters["max_tokens"] = own.max_tokens
    if own.temperature is None or refuses_temperature(own.parameters):
        del parameters["temperature"]
    given = {"parameters": own.parameters, "headers": own.answer_headers}
    return parameters | {name: value for name, value in given.items() if value}


def _settings(
    compilation: Compilation, evaluation: Evaluation, model: str, test_set: str, prompt: Prompt
) -> dict[str, Any]:
    own, digests = evaluation.models.get(model), compilation.digests
    settings: dict[str, Any] = {"version": VERSION, "questions": digests.get(test_set_key(test_set), "")}
    if own is not None and own.answers is not None:
        return settings | {"answers": digests.get(own.answers, "")}
    settings |= {"prompt": prompt, "parameters": answer_parameters(evaluation, own)}
    if evaluation.answers.engine != "transformers" and (own is None or own.provider == "local"):
        # Kernels of another engine may choose another token where two are nearly equal.
        settings["engine"] = evaluation.answers.engine
    return settings if own is None else settings | {"model": digests.get(str(own.model), str(own.model))}
