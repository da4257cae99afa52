"""Recipe and facts of its sources -> Plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from alpaqual.plan.compilation import Compilation
from alpaqual.plan.plan import Plan
from alpaqual.plan.stages import STAGE_KINDS
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.thinking import refuses_temperature
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


def _notes(recipe: Recipe) -> Iterator[str]:
    for grader_name, grader in recipe.text.graders.items():
        # With thinking on, no temperature is sent, and the provider's own is above 0.
        silent = grader.temperature != 0 or refuses_temperature(grader.parameters)
        if grader.model is not None and grader.samples > 1 and not silent:
            yield (
                f"grader {grader_name}: {grader.samples} samples at temperature 0 are the same reply, paid for {grader.samples} times: "
                "set 'temperature' above 0"
            )
