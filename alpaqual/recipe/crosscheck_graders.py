"""What a schema cannot say of graders: words that do not go together, scores off their scale, graders that wait for each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from alpaqual.errors import Problem
from alpaqual.recipe.dependencies import dependency_order
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.scales import common_steps, on_scale, scale_problem
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.yaml_nodes import Document, Path

PROVIDERS = ("anthropic", "local", "openai", "recorded")
BATCHING = ("anthropic", "openai")
"""Providers with a batch API."""
_WAYS = ("model", "column", "table", "of")
_MODEL_WORDS = ("prompt", "examples", "structured", "cascade", "budget_usd", "price", "base_url", "keep_rationale")
_MOST_CHOICES = 201
_ADDRESS = re.compile(r"https?://[^/\s]+")


def check_graders(graders: Mapping[str, Grader], prompts: Mapping[str, str], document: Document) -> Iterator[Problem]:
    """Everything that is wrong with the graders of a recipe; `prompts` has the text of each template that could be read."""
    for name, grader in graders.items():
        place: Path = ("graders", name)
        yield from _ways(grader, document, place)
        if message := scale_problem(grader.scale):
            yield document.problem((*place, "scale", *(["step"] if message.startswith("step") else [])), message)
        yield from _model(grader, document, place)
        yield from _examples(grader, document, place)
        yield from _others(name, graders, document)
        if name in prompts:
            yield from _prompt(grader, prompts[name], document, place)
    yield from _circles(graders, document)


def _ways(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    ways = [way for way in _WAYS if getattr(grader, way) is not None]
    if grader.kind == "length":
        if ways:
            yield document.problem(
                (*place, ways[0]), f"a grader of the kind 'length' counts characters: leave '{ways[0]}' out"
            )
        return
    if len(ways) != 1 and not document.was_removed(place):
        yield document.problem(
            place, f"a grader needs one of model, column, table and of, not {' and '.join(ways) or 'none'}"
        )
    if (grader.of is None) != (grader.combine is None) and not document.was_removed(place):
        have, lack = ("of", "combine") if grader.of is not None else ("combine", "of")
        yield document.problem((*place, have), f"'{have}' needs '{lack}' beside it")
    if grader.model is None:
        for word in _MODEL_WORDS:
            if getattr(grader, word):
                yield document.problem((*place, word), f"'{word}' is for graders that ask a model")


def _model(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    if grader.model is None:
        return
    provider = grader.model.partition("/")[0]
    if provider not in PROVIDERS:
        message = f"no provider '{provider}'{suggest(provider, PROVIDERS) or f'; there are: {chr(44).join(PROVIDERS)}'}"
        yield document.problem((*place, "model"), message)
    if grader.kind == "ifd" and provider not in ("local", "recorded"):
        yield document.problem((*place, "model"), "ifd needs a model's probabilities: use local/PATH")
    if grader.scoring == "expectation":
        if provider not in ("local", "recorded"):
            yield document.problem((*place, "scoring"), "the expectation needs a model's probabilities: use local/PATH")
        elif (grader.scale.max - grader.scale.min) / (grader.scale.step or 1) >= _MOST_CHOICES:
            yield document.problem(
                (*place, "scale"),
                f"the expectation is over each score of the scale, {_MOST_CHOICES} at most: name a larger step",
            )
    if grader.base_url is not None and not _ADDRESS.match(grader.base_url):
        guess = f"http://{grader.base_url.partition('://')[2] or grader.base_url}"
        yield document.problem((*place, "base_url"), f"an address starts with http:// or https://, as in {guess}")
    if grader.mode == "batch" and provider not in (*BATCHING, "recorded"):
        yield document.problem((*place, "mode"), f"{provider} has no batch API; there are: {', '.join(BATCHING)}")
    if grader.structured and provider == "local":
        yield document.problem(
            (*place, "structured"),
            "a local model writes what it likes: leave 'structured' out, or use 'scoring: expectation'",
        )


def _examples(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    for index, example in enumerate(grader.examples):
        if off := on_scale(example.score, grader.scale):
            yield document.problem((*place, "examples", index, "score"), f"the score {example.score:g} {off}")


def _others(name: str, graders: Mapping[str, Grader], document: Document) -> Iterator[Problem]:
    """Graders that a grader names."""
    grader = graders[name]
    place: Path = ("graders", name)
    named: list[tuple[Path, str]] = [((*place, "of", i), other) for i, other in enumerate(grader.of or ())]
    if grader.cascade is not None:
        named.append(((*place, "cascade", "first"), grader.cascade.first))
        if off := on_scale(grader.cascade.threshold, grader.scale_of_thresholds):
            yield document.problem(
                (*place, "cascade", "threshold"), f"the threshold {grader.cascade.threshold:g} {off}"
            )
    if grader.health.agreement is not None:
        named.append(((*place, "health", "agreement", "with"), grader.health.agreement.with_))
        yield from _kappa(grader, graders.get(grader.health.agreement.with_), document, (*place, "health", "agreement"))
    for spot, other in named:
        if other == name:
            yield document.problem(spot, f"'{name}' is this grader itself")
        elif other not in graders:
            if not document.was_removed(("graders", other)):
                known = [each for each in graders if each != name]
                listed = f"; there are: {', '.join(known)}" if known else "; the recipe has no other grader"
                yield document.problem(spot, f"nothing defines the grader '{other}'{suggest(other, known) or listed}")
        elif "health" not in spot and not _same_scale(grader, graders[other]):
            yield document.problem(spot, f"'{other}' has another scale than '{name}'")


def _kappa(grader: Grader, other: Grader | None, document: Document, place: Path) -> Iterator[Problem]:
    """A limit that no score can be held against."""
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
    """A field that no slot of the template holds never reaches the model."""
    lower = template.lower()
    missing = [f"[{slot}]" for slot in ("instruction", "input", "response") if f"[{slot}]" not in lower]
    if missing and not document.was_removed(place):
        yield document.problem(
            (*place, "prompt"),
            f"the template {grader.prompt} has no {' and no '.join(missing)}: the model would not see that part of the row",
        )


def _circles(graders: Mapping[str, Grader], document: Document) -> Iterator[Problem]:
    try:
        grader_order(graders)
    except ValueError as error:
        yield document.problem(("graders", str(error)), f"grader '{error}' waits for itself", at_key=True)


def grader_order(graders: Mapping[str, Grader]) -> list[str]:
    """Return the names of the graders, those that others depend on first; otherwise in recipe order.

    Raises ValueError with the first name of a cycle.
    """
    return dependency_order({name: needed(grader) for name, grader in graders.items()})


def needed(grader: Grader) -> list[str]:
    """The graders whose scores a grader starts from."""
    return [*(grader.of or ()), *([grader.cascade.first] if grader.cascade else ())]
