"""Checks of `evaluation` beyond the schema: models, judges and test sets that do not exist, keys that exclude each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from alpaqual.errors import Problem
from alpaqual.evaluation.test_sets import CATALOG
from alpaqual.judges.template import template_problem
from alpaqual.recipe.crosscheck_models import check_model
from alpaqual.recipe.evaluation import TEMPLATE, Evaluation, is_file_name, prompt_key
from alpaqual.recipe.expectations import Expectation
from alpaqual.recipe.measures import EVALUATION_KINDS
from alpaqual.recipe.model import RecipeText
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.yaml_nodes import Document, Path
from alpaqual.registry import names

_PLACE: Path = ("evaluation",)


def check_evaluation(recipe: RecipeText, document: Document, prompts: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems of a recipe's evaluation; `prompts` has the text of each judge's prompt file."""
    evaluation = recipe.evaluation
    if evaluation is None:
        return
    if evaluation.replies is not None:
        yield from _replies(evaluation, document)
        return
    for key in ("prompt", "orders"):
        if (*_PLACE, key) in document.values:
            yield document.problem((*_PLACE, key), f"'{key}' is about recorded replies: name their file in 'replies'")
    known = [*(recipe.training.datasets if recipe.training is not None else ()), *evaluation.models]
    yield from _models(recipe, evaluation, document)
    yield from _test_sets(evaluation, document)
    yield from _pairs(recipe, evaluation, known, document)
    yield from _judges(evaluation, document, prompts)
    for index, name in enumerate(evaluation.capability):
        if name not in known:
            yield document.problem((*_PLACE, "capability", index), _unknown_model(name, known, recipe.datasets))


def _replies(evaluation: Evaluation, document: Document) -> Iterator[Problem]:
    for key in ("test_sets", "models", "judge", "judges", "answers"):
        if (*_PLACE, key) in document.values:
            message = f"'{key}' has no effect with recorded replies: leave it out, or 'replies'"
            yield document.problem((*_PLACE, key), message)
    yield from _different(evaluation, document)
    if evaluation.prompt is not None and (evaluation.prompt == TEMPLATE or evaluation.prompt not in names("judges")):
        yield document.problem((*_PLACE, "prompt"), _unknown_kind(evaluation.prompt))


def _models(recipe: RecipeText, evaluation: Evaluation, document: Document) -> Iterator[Problem]:
    for name, model in evaluation.models.items():
        place: Path = (*_PLACE, "models", name)
        if recipe.training is not None and name in recipe.training.datasets:
            yield document.problem(place, f"'{name}' is a dataset that is trained on: choose another name")
        if (model.model is None) == (model.answers is None) and not document.was_removed(place):
            yield document.problem(place, f"model '{name}' needs one of 'model' and 'answers'")
        yield from check_model(model, document, place)


def _test_sets(evaluation: Evaluation, document: Document) -> Iterator[Problem]:
    if not evaluation.test_sets and not document.was_removed(_PLACE):
        yield document.problem(_PLACE, f"name 'test_sets': {', '.join(CATALOG)}, or files")
    seen: set[str] = set()
    for index, each in enumerate(evaluation.test_sets):
        place: Path = (*_PLACE, "test_sets", index)
        name = each if isinstance(each, str) else each.name
        if name in seen:
            yield document.problem(place, f"the test set '{name}' is named twice")
        seen.add(name)
        if (isinstance(each, str) or each.path is None) and name not in CATALOG:
            hint = suggest(name, CATALOG) or f"; there are: {', '.join(CATALOG)}"
            yield document.problem(place, f"the test set '{name}' is not in the catalog and has no 'path'{hint}")


def _pairs(recipe: RecipeText, evaluation: Evaluation, known: list[str], document: Document) -> Iterator[Problem]:
    judges = evaluation.named_judges
    if not evaluation.pairs and judges and not document.was_removed(_PLACE):
        yield document.problem(_PLACE, "name the 'pairs' of models to compare, such as [[quality, full]]")
    for index, pair in enumerate(evaluation.pairs):
        for position, name in enumerate(pair):
            if name not in known:
                place = (*_PLACE, "pairs", index, position)
                yield document.problem(place, _unknown_model(name, known, recipe.datasets))
    yield from _different(evaluation, document)


def _different(evaluation: Evaluation, document: Document) -> Iterator[Problem]:
    """Each pair has two models, and is named once in either order."""
    seen: set[tuple[str, ...]] = set()
    for index, pair in enumerate(evaluation.pairs):
        place: Path = (*_PLACE, "pairs", index)
        if pair[0] == pair[1]:
            yield document.problem(place, f"'{pair[0]}' is compared with itself")
        elif tuple(sorted(pair)) in seen:
            yield document.problem(place, f"the pair {pair[0]}, {pair[1]} is named twice")
        seen.add(tuple(sorted(pair)))


def _judges(evaluation: Evaluation, document: Document, prompts: Mapping[str, str]) -> Iterator[Problem]:
    if evaluation.judge is not None and evaluation.judges:
        yield document.problem((*_PLACE, "judge"), "'judge' and 'judges' exclude each other: move it into 'judges'")
    if evaluation.pairs and not evaluation.named_judges and not document.was_removed(_PLACE):
        yield document.problem(_PLACE, "name the 'judge' that compares the pairs")
    for name, judge in evaluation.named_judges.items():
        place = evaluation.judge_place(name)
        if judge.model is None and not document.was_removed(place):
            yield document.problem(place, f"judge '{name}' needs a 'model'")
        yield from check_model(judge, document, place)
        own = judge.kind != TEMPLATE
        if not own and not is_file_name(judge.prompt):
            yield document.problem((*place, "prompt"), _unknown_kind(judge.prompt))
        elif own and judge.reply is not None:
            yield document.problem((*place, "reply"), f"'reply' is for prompts in files: '{judge.prompt}' has its own")
        text = prompts.get(prompt_key(judge.prompt))
        if not own and text is not None and (problem := template_problem(text, judge.reply)):
            yield document.problem((*place, "prompt"), f"{judge.prompt}: {problem}")


def _unknown_kind(name: str) -> str:
    kinds = [kind for kind in names("judges") if kind != TEMPLATE]
    return f"'{name}' is no kind of judge and no path of a prompt{suggest(name, kinds) or '; there are: ' + ', '.join(kinds)}"


def _unknown_model(name: str, known: list[str], datasets: Iterable[str]) -> str:
    if name in datasets:
        return f"no model is trained on the dataset '{name}': add it to training.datasets"
    there = f"; there are: {', '.join(known)}" if known else ""
    hint = suggest(name, [*known, *datasets]) or there
    return f"nothing defines the model '{name}', a dataset of training.datasets or one of evaluation.models{hint}"


def check_evaluation_expectation(
    expectation: Expectation, evaluation: Evaluation | None, document: Document, place: Path
) -> Iterator[Problem]:
    """Yield the problems of an expectation about the evaluation."""
    if evaluation is None:
        yield document.problem(place, "the recipe has no evaluation that this expectation could be about")
        return
    fitting = ("winning_score", "interval_above", "unjudged") if expectation.pair is not None else ("order_kappa",)
    given = [key for key in Expectation.__struct_fields__ if getattr(expectation, key) is not None]
    measures = [key for key in given if key not in (*EVALUATION_KINDS, "level")]
    if expectation.pair is None and expectation.judge is None:
        yield document.problem(place, "an expectation about the evaluation names a 'pair' or a 'judge'")
        return
    if not measures and not document.was_removed(place):
        yield document.problem(place, f"the expectation names no number to meet: {', '.join(fitting)}")
    for key in measures:
        if key not in fitting:
            about = "a pair" if expectation.pair is not None else "a judge"
            yield document.problem((*place, key), f"'{key}' is no number of {about}; there: {', '.join(fitting)}")
    if evaluation.replies is not None:
        return
    pair = expectation.pair
    if pair is not None and evaluation.pairs and sorted(pair) not in [sorted(each) for each in evaluation.pairs]:
        known = "; ".join(", ".join(each) for each in evaluation.pairs)
        yield document.problem((*place, "pair"), f"the pair {', '.join(pair)} is not judged; these are: {known}")
    # A recipe without judges, or without test sets, has a problem of its own that says so.
    judges, test_sets = evaluation.named_judges, evaluation.named_test_sets
    if judges and expectation.judge is not None and expectation.judge not in judges:
        known = ", ".join(judges)
        yield document.problem((*place, "judge"), f"no judge '{expectation.judge}'; there are: {known}")
    if test_sets and expectation.test_set is not None and expectation.test_set not in test_sets:
        known = ", ".join(test_sets)
        yield document.problem((*place, "test_set"), f"no test set '{expectation.test_set}'; there are: {known}")
