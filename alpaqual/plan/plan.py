"""A plan is data: the stages of a recipe in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from alpaqual.plan.stage import Stage
from alpaqual.recipe.recipe import Recipe
from alpaqual.values import SourceFacts

S = TypeVar("S", bound=Stage)


@dataclass(frozen=True)
class Plan:
    """The stages of a recipe, each after those that it reads. `run` executes them, `explain_plan` describes them."""

    recipe: Recipe
    sources: tuple[SourceFacts, ...]
    stages: tuple[Stage, ...]
    notes: tuple[str, ...] = field(default=())
    """What the recipe asks for and this plan does not do, or does to no use."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 of each other file that is read, by its path in the recipe."""

    def stage(self, name: str) -> Stage:
        """The stage of this name."""
        return next(stage for stage in self.stages if stage.name == name)

    def of(self, kind: type[S]) -> list[S]:
        """All stages of a kind, in their order."""
        return [stage for stage in self.stages if isinstance(stage, kind)]

    def find(self, kind: type[S], subject: str = "") -> S | None:
        """The stage of a kind about a grader or dataset; None where the plan has none."""
        return next((stage for stage in self.of(kind) if stage.subject == subject), None)
