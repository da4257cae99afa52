"""The checked recipe: its settings, with rules, categories and prompts resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from alpaqual.errors import Problem
from alpaqual.recipe.dependencies import dependency_order
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.measures import LIMITS, QuotaLimit
from alpaqual.recipe.model import Category, Dataset, RecipeText, Rule, Source
from alpaqual.recipe.score_names import named_graders
from alpaqual.recipe.yaml_nodes import Document
from alpaqual.recipe.yaml_nodes import Path as Place


@dataclass(frozen=True)
class Recipe:
    """A recipe that passed every check that needs no data."""

    text: RecipeText
    file: str
    """Path of the recipe's file as given."""
    folder: Path
    """Relative paths in the recipe start here."""
    rules: tuple[Rule, ...]
    categories: tuple[Category, ...]
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Grader -> text of its prompt template."""
    rule_places: Mapping[str, str] = field(default_factory=dict)
    """Rule id -> its `file:line`."""
    category_places: tuple[str, ...] = ()
    """`file:line` of each category, in recipe order."""
    document: Document = field(default_factory=lambda: Document(""), compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.text.name

    @property
    def sources(self) -> list[tuple[str, Source]]:
        """Each source with its name; an unnamed source gets `source1`, `source2`, …"""
        return list(zip(source_names(self.text.sources), self.text.sources, strict=True))

    @cached_property
    def graders(self) -> Mapping[str, Grader]:
        """Every grader by its name; a score of a grader that asks for several is a grader `grader.score`."""
        return named_graders(self.text.graders)

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        return self.text.datasets

    @property
    def overrides(self) -> dict[Place, Any]:
        """What `--set` changed: the value at each path, in the order of the paths."""
        values = {path: self._value(path) for path in self.document.sets}
        return dict(sorted(values.items(), key=lambda item: str(item[0])))

    def _value(self, path: Place) -> Any:
        value = self.document.value
        for part in path:
            inside = part in value if isinstance(value, Mapping) else isinstance(value, list) and isinstance(part, int)
            value = value[part] if inside else None
        return value

    def limits(self, dataset: str) -> dict[str, tuple[QuotaLimit, ...]]:
        """The limits of each quota of a dataset, by category, in the order written."""
        return {
            category: tuple(
                QuotaLimit(key)
                for key in dict.fromkeys(self._written(("datasets", dataset, "quotas", category)))
                if key in LIMITS and getattr(quota, key) is not None
            )
            for category, quota in self.datasets[dataset].quotas.items()
        }

    def _written(self, place: Place) -> list[str]:
        """The keys of a mapping of the recipe in the order written; those of a recipe without a text follow in a fixed order."""
        return [*(self._value(place) or ()), *LIMITS]

    @property
    def dropping(self) -> list[str]:
        """Ids of the rules that drop rows, sorted."""
        return sorted(rule.id for rule in self.rules if rule.drop)

    def problem(self, path: Place, message: str) -> Problem:
        """A problem found in the data, at its position in the recipe."""
        return self.document.problem(path, message)

    def place(self, path: Place) -> str:
        """`file:line` of a path in the recipe."""
        return self.document.place(path)


def source_names(sources: Sequence[Source]) -> list[str]:
    """Names of the sources; an unnamed source gets `source` and its position, from 1."""
    return [
        source.name or (f"source{position}" if len(sources) > 1 else "source")
        for position, source in enumerate(sources, 1)
    ]


def dataset_order(datasets: Mapping[str, Dataset]) -> list[str]:
    """Return the names of the datasets, parents first; otherwise in recipe order.

    Raises ValueError with the first name of a cycle.
    """
    return dependency_order({name: parents(dataset) for name, dataset in datasets.items()})


def parents(dataset: Dataset) -> list[str]:
    """Names of the datasets that a dataset depends on: its `from` and its `sample: like`."""
    like = getattr(dataset.sample, "like", None)
    return [name for name in (dataset.from_, like) if name]
