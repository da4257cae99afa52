"""What the stages of a plan are compiled from: the recipe, what is known of the files, and the stages so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from alpaqual.errors import Problem, RecipeError
from alpaqual.plan.source_columns import SourceColumns
from alpaqual.plan.stage import Stage
from alpaqual.recipe.recipe import Recipe
from alpaqual.values import SourceFacts

S = TypeVar("S", bound=Stage)


class Compilation:
    """The recipe, its columns, its problems and the stages so far. `digests` has the sha256 of each other file, by its path in the recipe."""

    def __init__(self, recipe: Recipe, sources: Sequence[SourceFacts], digests: Mapping[str, str]) -> None:
        self.recipe = recipe
        self.sources = sources
        self.digests = digests
        self.stages: list[Stage] = []
        self.columns = SourceColumns(recipe, sources)
        self.problems: list[Problem] = list(self.columns.problems)

    def find(self, kind: type[S], subject: str = "") -> S | None:
        """The stage of a kind about a grader or dataset; None where there is none (yet)."""
        found = (stage for stage in self.stages if isinstance(stage, kind) and stage.subject == subject)
        return next(found, None)

    def inputs(self, *wanted: tuple[type[Stage], str]) -> tuple[Stage, ...]:
        """The stages of (kind, subject) pairs, each once, without those that the plan does not have."""
        found = (self.find(kind, subject) for kind, subject in dict.fromkeys(wanted))
        return tuple(stage for stage in found if stage is not None)

    def raise_problems(self) -> None:
        """Raise RecipeError with all problems found so far."""
        if self.problems:
            raise RecipeError(self.problems)
