"""A recipe that was read whole: its words with rules and categories looked up, and the place of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpaqual.errors import Problem
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.model import Category, Dataset, RecipeText, Rule, Source
from alpaqual.recipe.yaml_nodes import Document
from alpaqual.recipe.yaml_nodes import Path as Place


@dataclass(frozen=True)
class Recipe:
    """What a person asked for, without a mistake that can be seen without the data."""

    text: RecipeText
    file: str
    """The recipe's file as it was named."""
    folder: Path
    """Relative paths in the recipe start here."""
    rules: tuple[Rule, ...]
    categories: tuple[Category, ...]
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Text of each prompt template, by grader."""
    rule_places: Mapping[str, str] = field(default_factory=dict)
    """`file:line` of each rule, by id."""
    category_places: tuple[str, ...] = ()
    """`file:line` of each category, in their order."""
    document: Document = field(default_factory=lambda: Document(""), compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.text.name

    @property
    def sources(self) -> list[tuple[str, Source]]:
        """Each source with its name; a source without one is called by its position."""
        return list(zip(source_names(self.text.sources), self.text.sources, strict=True))

    @property
    def graders(self) -> Mapping[str, Grader]:
        return self.text.graders

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        return self.text.datasets

    @property
    def dropping(self) -> list[str]:
        """The rules that drop rows, in order of name."""
        return sorted(rule.id for rule in self.rules if rule.drop)

    def problem(self, path: Place, message: str) -> Problem:
        """A problem that only the data shows, at its place in the recipe."""
        return self.document.problem(path, message)

    def place(self, path: Place) -> str:
        """`file:line` of a path in the recipe."""
        return self.document.place(path)


def source_names(sources: Sequence[Source]) -> list[str]:
    """What each source is called: by its name, or by its position where it has none."""
    return [
        source.name or (f"source{position}" if len(sources) > 1 else "source")
        for position, source in enumerate(sources, 1)
    ]


def dataset_order(datasets: Mapping[str, Dataset]) -> list[str]:
    """Names of the datasets, those that others start from first; as written where that leaves a choice.

    Raises ValueError with a name that waits for itself.
    """
    done: list[str] = []

    def visit(name: str, waiting: tuple[str, ...]) -> None:
        if name in waiting:
            raise ValueError(name)
        if name in done or name not in datasets:
            return
        for parent in parents(datasets[name]):
            visit(parent, (*waiting, name))
        done.append(name)

    for name in datasets:
        visit(name, ())
    return done


def parents(dataset: Dataset) -> list[str]:
    """The datasets that a dataset starts from or takes its size from."""
    like = getattr(dataset.sample, "like", None)
    return [name for name in (dataset.from_, like) if name]
