"""Checks of graders that ask for several scores, describe levels, ask more than once, or name columns in their prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alpaqual.errors import Problem
from alpaqual.prompt_slots import COLUMN, SCORE, named_slots
from alpaqual.recipe.graders import Grader, Levels, Scale, ScorePart
from alpaqual.recipe.scales import on_scale, scale_problem
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.score_names import score_name, several, was_removed
from alpaqual.recipe.yaml_nodes import Document, Path

RATIONALE = "rationale"
"""Key of the explanation in a structured reply: no score has this name."""
_OWN_PROMPTS = ("ifd", "length")
"""Kinds of graders that no prompt of a recipe reaches."""
_ONE_SCORE = {
    "scale": "each of the scores has a scale of its own",
    "dimension": "the name of each score is its dimension",
    "levels": "the levels are those of one score: write them under it",
    "calibrate": "a calibration is of one score: give a grader with one score the file",
    "cascade": "a cascade is decided by one score: give a grader with one score the cascade",
}
"""Keys that a grader with several scores has no use for."""


def check_scores(name: str, graders: Mapping[str, Grader], document: Document) -> Iterator[Problem]:
    """Problems of the several scores of a grader."""
    grader = graders[name]
    if not grader.scores:
        return
    place: Path = ("graders", name)
    for key, why in _ONE_SCORE.items():
        if (*place, key) in document.values:
            yield document.problem((*place, key), f"'{key}' beside 'scores': {why}", at_key=True)
    if grader.kind != "model":
        yield document.problem((*place, "scores"), f"a grader of the kind '{grader.kind}' gives one score", at_key=True)
    if grader.scoring == "expectation":
        yield document.problem((*place, "scoring"), "the expectation is of one score: leave 'scores' out")
    if grader.health.agreement is not None:
        message = "'agreement' is of one score: write it under the score's own 'health'"
        yield document.problem((*place, "health", "agreement"), message, at_key=True)
    for part, settings in grader.scores.items():
        if score_name(name, part) in graders:
            message = f"there is a grader '{score_name(name, part)}' already"
            yield document.problem((*place, "scores", part), message, at_key=True)
        yield from _part(part, settings, document, (*place, "scores", part))
    yield from _folded(grader, document, place)
    yield from _examples(grader, document, place)


def _part(part: str, settings: ScorePart, document: Document, place: Path) -> Iterator[Problem]:
    """Problems of one of several scores."""
    if part.casefold() == RATIONALE:
        yield document.problem(place, f"'{part}' is the key of the explanation in a reply", at_key=True)
    if message := scale_problem(settings.scale):
        yield document.problem((*place, "scale", *(["step"] if message.startswith("step") else [])), message)
    yield from check_levels(settings.levels, settings.scale, document, place)
    for key in ("golden", "repeats"):
        if getattr(settings.health, key) is not None:
            message = f"'{key}' is about requests, which ask for all scores: write it under the grader's 'health'"
            yield document.problem((*place, "health", key), message, at_key=True)


def _folded(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    """Names of scores that a reply's keys cannot be distinguished by."""
    seen: dict[str, str] = {}
    for part in grader.scores or ():
        folded = part.casefold().replace("_", " ").replace("-", " ")
        if folded in seen:
            message = f"'{part}' and '{seen[folded]}' are the same key in a reply"
            yield document.problem((*place, "scores", part), message, at_key=True)
        seen.setdefault(folded, part)


def _examples(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    """An example has each of the scores, on its scale."""
    scores = grader.scores or {}
    for index, example in enumerate(grader.examples):
        spot: Path = (*place, "examples", index)
        if example.score is not None:
            yield document.problem(
                (*spot, "score"), f"the grader gives several scores: write 'scores: {{{', '.join(scores)}}}'"
            )
            continue
        for part, settings in scores.items():
            given = example.scores.get(part)
            if given is None:
                if not document.was_removed(spot):
                    yield document.problem((*spot, "scores"), f"the example lacks the score '{part}'")
            elif off := on_scale(given, settings.scale):
                yield document.problem((*spot, "scores", part), f"the score {given:g} {off}")
        for part in example.scores:
            if part not in scores:
                known = suggest(part, scores) or f"; there are: {', '.join(scores)}"
                yield document.problem((*spot, "scores", part), f"the grader has no score '{part}'{known}", at_key=True)


def check_levels(levels: Levels | None, scale: Scale, document: Document, place: Path) -> Iterator[Problem]:
    """Levels that are no scores of the scale, or the same score twice."""
    seen: dict[float, str] = {}
    for level in levels or ():
        spot: Path = (*place, "levels", level)
        try:
            score = float(level)
        except ValueError:
            yield document.problem(spot, f"the level '{level}' is no number: name a score of the scale", at_key=True)
            continue
        if off := on_scale(score, scale):
            yield document.problem(spot, f"the level {level} {off}", at_key=True)
        elif score in seen:
            yield document.problem(spot, f"the level {level} is the same as {seen[score]}", at_key=True)
        seen.setdefault(score, level)


def check_samples(grader: Grader, document: Document, place: Path) -> Iterator[Problem]:
    """Samples of a grader whose replies cannot differ, and parts of a prompt for a kind that has its own."""
    for key in ("levels", "fence"):
        if getattr(grader, key) and grader.kind in _OWN_PROMPTS:
            message = f"'{key}' is a part of a prompt, and the kind '{grader.kind}' has its own: leave it out"
            yield document.problem((*place, key), message)
    if grader.samples == 1:
        return
    if grader.model is None:
        if not document.was_removed((*place, "model")):
            yield document.problem((*place, "samples"), "'samples' is for graders that ask a model")
    elif grader.scoring == "expectation" or grader.kind != "model":
        yield document.problem(
            (*place, "samples"),
            "a score that is computed from probabilities is the same each time: leave 'samples' out",
        )


def check_slots(name: str, graders: Mapping[str, Grader], template: str, document: Document) -> Iterator[Problem]:
    """Slots of a prompt that name no grader with a score, and examples that lack what a slot shows."""
    place: Path = ("graders", name)
    slots = named_slots(template)
    for kind, wanted in slots:
        if kind != SCORE:
            continue
        spot: Path = (*place, "prompt")
        if wanted == name or (wanted.startswith(f"{name}.") and wanted in graders):
            yield document.problem(spot, f"[score:{wanted}] is a score of this grader itself")
        elif wanted not in graders:
            if not was_removed("graders", wanted, document):
                yield document.problem(spot, f"[score:{wanted}]: {no_grader(wanted, name, graders)}")
        elif problem := several(wanted, graders):
            yield document.problem(spot, f"[score:{wanted}]: {problem}")
    for index, example in enumerate(graders[name].examples):
        for kind, wanted in slots:
            if wanted not in example.columns:
                what = f"the column '{wanted}'" if kind == COLUMN else f"the score of '{wanted}'"
                message = f"the example lacks {what}, which the prompt shows: write it under 'columns'"
                yield document.problem((*place, "examples", index), message)


def no_grader(wanted: str, name: str, graders: Mapping[str, Grader]) -> str:
    """The message for a grader's name that nothing defines; `name` is the grader that names it."""
    known = [each for each in graders if each != name]
    listed = f"; there are: {', '.join(known)}" if known else "; the recipe has no other grader"
    return f"nothing defines the grader '{wanted}'{suggest(wanted, known) or listed}"
