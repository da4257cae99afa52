"""Adds an evaluation to the results of a run: its figures, what is wrong with them, and the expectations about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from alpaqual.evaluation.figures import evaluation_result
from alpaqual.evaluation.judge_results import KnownJudge
from alpaqual.evaluation.reasons import evaluation_reasons
from alpaqual.evaluation.values import TrainedDataset
from alpaqual.execution.evaluation import Evaluated, usage_of
from alpaqual.execution.evaluation_expectations import evaluation_expectation
from alpaqual.execution.results import judged
from alpaqual.plan.plan import Plan
from alpaqual.recipe.evaluation import Evaluation
from alpaqual.recipe.measures import is_about_evaluation
from alpaqual.recipe.model import Dataset, Like
from alpaqual.recipe.recipe import Recipe
from alpaqual.results.evaluation import EvaluationResult, JudgeResult
from alpaqual.results.results import ExpectationResult, Reason, Results
from alpaqual.values import State


def with_evaluation(plan: Plan, results: Results, found: Evaluated) -> Results:
    """Add the evaluation, its warnings and the expectations about it."""
    recipe = plan.recipe
    evaluation = recipe.text.evaluation
    assert evaluation is not None
    rows = {name: dataset.rows for name, dataset in results.datasets.items()}
    datasets = trained_datasets(recipe, rows)
    made = evaluation_result(
        found.judgements,
        rule=evaluation.rule,
        pairs=[(first, second) for first, second in evaluation.pairs],
        judges=_known_judges(evaluation, found),
        datasets=datasets,
        references=evaluation.capability,
    )
    made = msgspec.structs.replace(made, answers=found.answers, waiting=dict(found.waiting))
    results = msgspec.structs.replace(results, evaluation=made)
    expected = list(_expectations(recipe, made))
    new = [*_reasons(recipe, made, datasets), *(reason for _, reason in expected if reason is not None)]
    new += [Reason(state=State.ERROR, text=str(error), place=recipe.place(("evaluation",))) for error in found.errors]
    return msgspec.structs.replace(
        results,
        expectations=[*results.expectations, *(result for result, _ in expected)],
        **judged([*results.reasons, *new]),
    )


def trained_datasets(recipe: Recipe, rows: Mapping[str, int]) -> dict[str, TrainedDataset]:
    """What figures need to know of each dataset, by name. Datasets of a run that stopped early have no rows."""
    drawn = [name for name, dataset in recipe.datasets.items() if _is_random(dataset)]
    whole = [name for name, dataset in recipe.datasets.items() if dataset == Dataset(seed=dataset.seed)]
    found: dict[str, TrainedDataset] = {}
    for name, dataset in recipe.datasets.items():
        parent = dataset.from_ or next((other for other in whole if name not in whole), None)
        control = next((other for other in drawn if _has_size_of(recipe.datasets[other], name, rows)), None)
        needs_control = name not in drawn and name not in whole
        found[name] = TrainedDataset(rows.get(name, 0), parent, control if needs_control else None, needs_control)
    return found


def _is_random(dataset: Dataset) -> bool:
    return dataset.sample is not None and not dataset.threshold and not dataset.quotas and dataset.from_ is None


def _has_size_of(control: Dataset, dataset: str, rows: Mapping[str, int]) -> bool:
    if isinstance(control.sample, Like):
        return control.sample.like == dataset
    return control.sample == rows.get(dataset)


def _known_judges(evaluation: Evaluation, found: Evaluated) -> dict[str, KnownJudge]:
    """The judges of the recipe, each with its model, its prompt and what its requests took."""
    known: dict[str, KnownJudge] = {}
    for name, judge in evaluation.named_judges.items():
        usage = usage_of(found.replies.get(name, []))
        result = JudgeResult(model=str(judge.model), prompt=judge.prompt, **usage)
        known[name] = KnownJudge(result, rates_singly=not judge.kind_plugin.PAIRWISE)
    return known


def _reasons(recipe: Recipe, made: EvaluationResult, datasets: Mapping[str, TrainedDataset]) -> Iterator[Reason]:
    place = recipe.place(("evaluation",))
    for text in evaluation_reasons(made, datasets):
        yield Reason(state=State.WARN, text=text, place=place)
    for stage, why in made.waiting.items():
        yield Reason(state=State.WARN, text=f"{stage} did not run: {why}", place=place)
    for answers in made.answers:
        if answers.questions and answers.answered < answers.questions:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in answers.unanswered.items())
            text = f"{answers.model} answered {answers.answered:,} of {answers.questions:,} questions of {answers.test_set}: {reasons}"
            yield Reason(state=State.WARN, text=text, place=place)


def _expectations(recipe: Recipe, made: EvaluationResult) -> Iterator[tuple[ExpectationResult, Reason | None]]:
    for index, expectation in enumerate(recipe.text.expect):
        if not is_about_evaluation(expectation):
            continue
        result, text = evaluation_expectation(expectation, made, recipe.place(("expect", index)))
        met = result.state is State.PASS
        yield result, None if met else Reason(state=result.state, text=text, place=result.place)
