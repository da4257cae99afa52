"""The names of scores: those of graders, and `grader.score` for each score of a grader that asks for several at once.

`named_graders` is the one place where a name becomes a grader. Thresholds, ensembles, cascades, health, expectations, stages and
results look names up in its mapping.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from alpaqual.amounts import exact
from alpaqual.recipe.graders import Grader, Health, Scale
from alpaqual.recipe.yaml_nodes import Document, Path


class ScoreOf(Grader, frozen=True, kw_only=True):
    """One score of a grader that asks for several: it sends no request of its own."""

    asked: str
    """Name of the grader that asks."""
    asking: Grader
    """That grader."""
    part: str
    """Name of the score in its `scores`."""

    @property
    def of_turns(self) -> str | None:
        """How the scores of turns are combined."""
        return self.asking.of_turns


class BetweenSteps(Grader, frozen=True, kw_only=True):
    """A grader with scores between the steps of its scale, since those of the graders that it starts from are."""

    @property
    def scale_of_thresholds(self) -> Scale:
        """The scale without steps."""
        return Scale(min=self.scale.min, max=self.scale.max)


def named_graders(graders: Mapping[str, Grader]) -> dict[str, Grader]:
    """Every grader by its name, each followed by its scores as `grader.score`; a grader that is written so goes first."""
    found: dict[str, Grader] = {}
    for name, grader in graders.items():
        found[name] = grader
        for part, settings in (grader.scores or {}).items():
            own = grader.health
            health = Health(
                most_frequent=settings.health.most_frequent or own.most_frequent,
                length=settings.health.length or own.length,
                repeats=own.repeats,
                golden=own.golden,
                agreement=settings.health.agreement,
            )
            found.setdefault(
                score_name(name, part),
                ScoreOf(
                    asked=name,
                    asking=grader,
                    part=part,
                    dimension=part,
                    scale=settings.scale,
                    levels=settings.levels,
                    samples=grader.samples,
                    combine=grader.combine,
                    health=health,
                ),
            )
    found = {name: graders.get(name, grader) for name, grader in found.items()}
    return {name: _between_steps(grader) if _leaves_steps(name, found) else grader for name, grader in found.items()}


def _between_steps(grader: Grader) -> Grader:
    return BetweenSteps(**{key: getattr(grader, key) for key in msgspec.structs.asdict(grader)})


def _leaves_steps(name: str, graders: Mapping[str, Grader], above: tuple[str, ...] = ()) -> bool:
    """Whether a grader on a scale with steps has scores between them, of the graders that it combines or its cascade begins with."""
    grader = graders[name]
    step = grader.scale.step
    if step is None or name in above:
        return False
    starts = (*(grader.of or ()), *([grader.cascade.first] if grader.cascade else ()))
    for other in starts:
        if other not in graders or graders[other].scores:
            continue
        finer = graders[other].scale_of_thresholds.step
        if finer is None or exact(finer) % exact(step) or _leaves_steps(other, graders, (*above, name)):
            return True
    return False


def score_name(grader: str, part: str) -> str:
    """The name of one score of a grader."""
    return f"{grader}.{part}"


def path_of(name: str, graders: Mapping[str, Grader]) -> Path:
    """Where a recipe has the settings of a grader, or of one of its scores."""
    grader = graders.get(name)
    return ("graders", grader.asked, "scores", grader.part) if isinstance(grader, ScoreOf) else ("graders", name)


def health_path(name: str, key: str, graders: Mapping[str, Grader]) -> Path:
    """Where a recipe has a check of `health`: under the score where it is written there, else under the grader."""
    grader = graders[name]
    if isinstance(grader, ScoreOf):
        part = (grader.asking.scores or {})[grader.part]
        if getattr(part.health, key, None) is None:
            return ("graders", grader.asked, "health", key)
    return (*path_of(name, graders), "health", key)


def several(name: str, graders: Mapping[str, Grader]) -> str:
    """The problem of a name that means several scores where one is needed; "" for another."""
    found = scores_of(name, graders)
    return f"the grader '{name}' gives several scores: name one, {' or '.join(found)}" if found else ""


def scores_of(name: str, graders: Mapping[str, Grader]) -> list[str]:
    """The names of the scores of a grader that asks for several; empty for another."""
    grader = graders.get(name)
    return [score_name(name, part) for part in grader.scores or ()] if grader is not None else []


def scales_of(grader: Grader) -> dict[str, Scale]:
    """The scale of each of several scores, by its name; that of one score, under ""."""
    return {part: settings.scale for part, settings in (grader.scores or {}).items()} or {"": grader.scale}


def was_removed(key: str, name: str, document: Document) -> bool:
    """Whether what a name means was removed as invalid: under `key`, or as a score of a grader that was."""
    parts = name.split(".")
    heads = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return any(document.was_removed((key, head)) for head in heads)
