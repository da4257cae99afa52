"""Checks of graders that a JSON Schema cannot make: keys that exclude each other, scores off their scale, cycles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alpaqual.errors import Problem
from alpaqual.prompt_slots import SCORE, names_in
from alpaqual.recipe.crosscheck_models import (
    check_model,
    computes_probabilities,
    follows_schemas,
    gives_expectations,
    installed,
    with_expectations,
    with_probabilities,
)
from alpaqual.recipe.crosscheck_scores import check_levels, check_samples, check_scores, check_slots, no_grader
from alpaqual.recipe.dependencies import dependency_order
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.scales import common_steps, on_scale, scale_problem
from alpaqual.recipe.score_names import ScoreOf, health_path, named_graders, path_of, several, was_removed
from alpaqual.recipe.secrets import use_environment, values_like_keys
from alpaqual.recipe.unknown import alternatives
from alpaqual.recipe.yaml_nodes import Document, Path
from alpaqual.reply_places import PLACES, reply_problem

_ORIGINS = ("model", "column", "table", "of")
_MODEL_KEYS = (
    "each",
    "prompt",
    "examples",
    "structured",
    "scores",
    "levels",
    "fence",
    "cascade",
    "budget_usd",
    "price",
    "base_url",
    "cache",
    "keep_rationale",
    "parameters",
    "headers",
    "token_limit",
)
_OF_GRADERS, _OF_TURNS = ("mean", "median", "min", "agreement"), ("min", "mean", "last")
_MAX_CHOICES = 201


def check_graders(graders: Mapping[str, Grader], prompts: Mapping[str, str], document: Document) -> Iterator[Problem]:
    """All problems of a recipe's graders; `prompts` has the text of each template that could be read."""
    named = named_graders(graders)
    for name, grader in graders.items():
        place: Path = ("graders", name)
        yield from _secrets(grader, document, place)
        yield from _kind(grader, document, place)
        yield from _origin(grader, document, place)
        if not grader.scores and (message := scale_problem(grader.scale)):
            yield document.problem((*place, "scale", *(["step"] if message.startswith("step") else [])), message)
        yield from check_model(grader, document, place)
        yield from _abilities(grader, document, place)
        yield from _reply(grader, document, place)
        yield from check_scores(name, graders, document)
        yield from _examples(grader, document, place)
        yield from check_levels(grader.levels, grader.scale, document, place)
        yield from check_samples(grader, document, place)
        if name in prompts:
            yield from _prompt(grader, prompts[name], document, place)
            yield from check_slots(name, named, prompts[name], document)
    for name in named:
        yield from _others(name, named, document)
    yield from _cycles(named, prompts, document)


def _secrets(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    """A key of an API that is written into the recipe, and `key` where no file of scores is joined by it."""
    written = document.value["graders"][place[-1]]
    found = list(values_like_keys(written))
    for path, name in found:
        message = f"'{name}' looks like a secret, and a recipe is no place for one: {use_environment(written)}"
        yield document.problem((*place, *path), message)
    if "key" in written and grader.table is None and ("key",) not in [path for path, _ in found]:
        apart = f"; {use_environment(written)}" if grader.model else ""
        message = f"'key' is the column that the rows of 'table' are joined by: leave it out{apart}"
        if not document.was_removed((*place, "table")):
            yield document.problem((*place, "key"), message)


def _kind(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    if installed("graders", grader.kind) is None:
        message = f"no kind of grader '{grader.kind}'{alternatives('graders', grader.kind)}"
        yield document.problem((*place, "kind"), message)


def _origin(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    """Where the score comes from: exactly one of four keys, or none of them for a kind with an expression."""
    origins = [key for key in _ORIGINS if getattr(grader, key) is not None]
    kind = installed("graders", grader.kind)
    if kind is None:
        return
    if grader.model is None and not document.was_removed((*place, "model")):
        for key in _MODEL_KEYS:
            if getattr(grader, key):
                yield document.problem((*place, key), f"'{key}' is for graders that ask a model")
    if kind.EXPRESSION is not None:
        if origins:
            message = f"a grader of the kind '{grader.kind}' computes the {kind.TITLE}: leave '{origins[0]}' out"
            yield document.problem((*place, origins[0]), message)
        return
    if len(origins) != 1 and not document.was_removed(place):
        yield document.problem(
            place, f"a grader needs one of model, column, table and of, not {' and '.join(origins) or 'none'}"
        )
    if not document.was_removed(place):
        yield from _combine(grader, document, place)


def _combine(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    """Whether what is combined is there, and can be combined in this way."""
    if grader.of is not None and grader.combine is None:
        yield document.problem((*place, "of"), "'of' needs 'combine' beside it")
    elif grader.combine is not None:
        ways = _OF_GRADERS if grader.of is not None else _OF_TURNS
        if grader.of is None and grader.each is None:
            yield document.problem((*place, "combine"), "'combine' needs 'of' beside it, or 'each: turn'")
        elif grader.combine not in ways:
            what = "graders" if grader.of is not None else "turns"
            message = f"scores of {what} are combined by {', '.join(ways)}, not by '{grader.combine}'"
            yield document.problem((*place, "combine"), message)


def _abilities(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    """What the grader needs and its model's provider cannot do."""
    if grader.model is None:
        return
    kind = installed("graders", grader.kind)
    if kind is not None and kind.PROBABILITIES and not computes_probabilities(grader):
        message = f"{grader.kind} needs a model's probabilities: use {with_probabilities()}"
        yield document.problem((*place, "model"), message)
    if grader.scoring == "expectation":
        if not gives_expectations(grader):
            message = f"the expectation needs a model's probabilities: use {with_expectations()}"
            yield document.problem((*place, "scoring"), message)
        elif grader.mode == "batch" and not computes_probabilities(grader):
            yield document.problem((*place, "mode"), "the expectation is not for batches: leave 'mode' out")
        elif (grader.scale.max - grader.scale.min) / (grader.scale.step or 1) >= _MAX_CHOICES:
            yield document.problem(
                (*place, "scale"),
                f"the expectation is over each score of the scale, {_MAX_CHOICES} at most: name a larger step",
            )
    if grader.structured and not follows_schemas(grader):
        message = f"replies of {grader.provider} follow no JSON Schema: leave 'structured' out"
        yield document.problem((*place, "structured"), message)


def _reply(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    """A regular expression that cannot say where a reply has its score, or a place that structured replies lack."""
    if grader.reply == PLACES[0]:
        return
    if grader.model is None:
        if not document.was_removed((*place, "model")):
            yield document.problem((*place, "reply"), "'reply' is for graders that ask a model")
    elif grader.reply not in PLACES and (problem := reply_problem(grader.reply)):
        yield document.problem((*place, "reply"), problem)
    elif (grader.structured or grader.scores) and grader.reply != "json":
        yield document.problem((*place, "reply"), "a structured reply is JSON: leave 'reply' out")
    elif grader.scoring == "expectation" and grader.reply not in PLACES:
        yield document.problem((*place, "reply"), "an expectation is of the first line: leave 'reply' out")


def _examples(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    if grader.scores:
        return
    for index, example in enumerate(grader.examples):
        spot: Path = (*place, "examples", index)
        if example.score is None:
            if not document.was_removed((*spot, "score")):
                yield document.problem(spot, "the key 'score' is missing")
        elif off := on_scale(example.score, grader.scale):
            yield document.problem((*spot, "score"), f"the score {example.score:g} {off}")
        if example.scores:
            yield document.problem((*spot, "scores"), "the grader gives one score: write 'score'")


def _others(name: str, graders: Mapping[str, Grader], document: Document) -> Iterator[Problem]:
    """Problems of the graders that a grader names."""
    grader = graders[name]
    place = path_of(name, graders)
    named: list[tuple[Path, str]] = [((*place, "of", i), other) for i, other in enumerate(grader.of or ())]
    if grader.cascade is not None:
        named.append(((*place, "cascade", "first"), grader.cascade.first))
        if off := on_scale(grader.cascade.threshold, grader.scale_of_thresholds):
            yield document.problem(
                (*place, "cascade", "threshold"), f"the threshold {grader.cascade.threshold:g} {off}"
            )
    if grader.health.agreement is not None:
        named.append(((*health_path(name, "agreement", graders), "with"), grader.health.agreement.with_))
        yield from _kappa(
            grader, graders.get(grader.health.agreement.with_), document, health_path(name, "agreement", graders)
        )
    for spot, other in named:
        if other == name:
            yield document.problem(spot, f"'{name}' is this grader itself")
        elif other not in graders:
            if not was_removed("graders", other, document):
                yield document.problem(spot, no_grader(other, name, graders))
        elif problem := several(other, graders):
            yield document.problem(spot, problem)
        elif "health" not in spot and not _same_scale(grader, graders[other]):
            yield document.problem(spot, f"'{other}' has another scale than '{name}'")


def _kappa(grader: Grader, other: Grader | None, document: Document, place: Path) -> Iterator[Problem]:
    """A limit on kappa where kappa is undefined."""
    agreement = grader.health.agreement
    if agreement is None or other is None or (agreement.kappa.warn is None and agreement.kappa.fail is None):
        return
    if common_steps(grader, other) is None:
        yield document.problem(
            (*place, "kappa"),
            f"kappa compares steps, and '{agreement.with_}' has another scale, or scores between the steps: "
            "give both the same scale with a step, or set limits on 'spearman'",
        )


def _same_scale(one: Grader, other: Grader) -> bool:
    return (one.scale.min, one.scale.max) == (other.scale.min, other.scale.max)


def _prompt(grader: Grader, template: str, document: Document, place: Path) -> Iterator[Problem]:
    """A template without a slot for part of the row: the model would not see that part."""
    lower = template.lower()
    if "[conversation]" in lower:
        return
    missing = [f"[{slot}]" for slot in ("instruction", "input", "response") if f"[{slot}]" not in lower]
    if missing and not document.was_removed(place):
        yield document.problem(
            (*place, "prompt"),
            f"the template {grader.prompt} has no {' and no '.join(missing)}: the model would not see that part of the row",
        )


def _cycles(graders: Mapping[str, Grader], prompts: Mapping[str, str], document: Document) -> Iterator[Problem]:
    try:
        grader_order(graders, prompts)
    except ValueError as error:
        yield document.problem(path_of(str(error), graders), f"grader '{error}' depends on itself", at_key=True)


def grader_order(graders: Mapping[str, Grader], prompts: Mapping[str, str]) -> list[str]:
    """Return the names of the graders, those that others depend on first; otherwise in recipe order.

    `prompts` has the text of each prompt file. Raises ValueError with the first name of a cycle.
    """
    return dependency_order({name: needed(grader, prompts.get(name, "")) for name, grader in graders.items()})


def needed(grader: Grader, template: str = "") -> list[str]:
    """The graders whose scores a grader starts from, those that its prompt `template` shows included."""
    if isinstance(grader, ScoreOf):
        return [grader.asked]
    return [
        *(grader.of or ()),
        *([grader.cascade.first] if grader.cascade else ()),
        *names_in(template, SCORE),
    ]
