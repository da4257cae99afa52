"""Recipe and facts of its sources -> Plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpaqual.plan.compilation import Compilation
from alpaqual.plan.plan import Plan
from alpaqual.plan.stages import STAGE_KINDS
from alpaqual.recipe.recipe import Recipe
from alpaqual.values import SourceFacts


def compile_plan(recipe: Recipe, sources: Sequence[SourceFacts], digests: Mapping[str, str] | None = None) -> Plan:
    """Compile a recipe into stages. `digests` has the sha256 of each other file that is read, by its path in the recipe.

    Raises RecipeError where the recipe names a column that no source has, or a trainer cannot run its job.
    """
    compilation = Compilation(recipe, sources, digests or {})
    compilation.raise_problems()
    for kind in STAGE_KINDS:
        for stage in kind.compile(compilation):
            compilation.stages.append(stage)
    compilation.raise_problems()
    return Plan(recipe, tuple(sources), tuple(compilation.stages), tuple(_notes(recipe)), dict(compilation.digests))


def _notes(recipe: Recipe) -> list[str]:
    if recipe.text.evaluation is None:
        return []
    return ["evaluation is skipped: this version of alpaqual does not have that stage yet"]
