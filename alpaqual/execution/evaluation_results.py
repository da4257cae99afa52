"""Adds an evaluation to the results of a run: its figures, what is wrong with them, and the expectations about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from alpaqual.evaluation.figures import evaluation_result
from alpaqual.evaluation.reasons import evaluation_reasons
from alpaqual.evaluation.values import TrainedDataset
from alpaqual.execution.evaluation import Evaluated, usage_of
from alpaqual.execution.evaluation_expectations import evaluation_expectation
from alpaqual.execution.results import judged
from alpaqual.execution.trained_datasets import trained_datasets
from alpaqual.plan.plan import Plan
from alpaqual.recipe.evaluation import Evaluation
from alpaqual.recipe.measures import is_about_evaluation
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
    trained = recipe.text.training.datasets if recipe.text.training is not None else list(recipe.datasets)
    datasets = trained_datasets(recipe.datasets, trained, rows)
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
    new = [*_reasons(recipe, made, datasets, found.notes), *(reason for _, reason in expected if reason is not None)]
    new += [Reason(state=State.ERROR, text=str(error), place=recipe.place(("evaluation",))) for error in found.errors]
    return msgspec.structs.replace(
        results,
        expectations=[*results.expectations, *(result for result, _ in expected)],
        **judged([*results.reasons, *new]),
    )


def _known_judges(evaluation: Evaluation, found: Evaluated) -> dict[str, JudgeResult]:
    """The judges of the recipe, each with its model, its prompt and what its requests took."""
    known: dict[str, JudgeResult] = {}
    for name, judge in evaluation.named_judges.items():
        usage = usage_of(found.replies.get(name, []))
        known[name] = JudgeResult(model=str(judge.model), prompt=judge.prompt, **usage)
    return known


def _reasons(
    recipe: Recipe, made: EvaluationResult, datasets: Mapping[str, TrainedDataset], notes: Sequence[str]
) -> Iterator[Reason]:
    place = recipe.place(("evaluation",))
    references = recipe.text.evaluation.capability if recipe.text.evaluation is not None else ()
    for text in (*evaluation_reasons(made, datasets, references), *notes):
        yield Reason(state=State.WARN, text=text, place=place)
    for stage, why in made.waiting.items():
        yield Reason(state=State.WARN, text=f"{stage} did not run: {why}", place=place)
    for answers in made.answers:
        if answers.questions and answers.answered < answers.questions:
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in answers.unanswered.items())
            text = f"{answers.model} answered {answers.answered:,} of {answers.questions:,} questions of {answers.test_set}: {reasons}"
            yield Reason(state=State.WARN, text=text, place=place)


def _expectations(recipe: Recipe, made: EvaluationResult) -> Iterator[tuple[ExpectationResult, Reason | None]]:
    for index, expectation in enumerate(recipe.text.expect):
        if not is_about_evaluation(expectation):
            continue
        result, text = evaluation_expectation(expectation, made, recipe.place(("expect", index)))
        met = result.state is State.PASS
        yield result, None if met else Reason(state=result.state, text=text, place=result.place)
