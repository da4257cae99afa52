"""A plan is data: what would be done, in order. `run` does it, `explain` prints it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from alpaqual.job import Job
from alpaqual.recipe.recipe import Recipe
from alpaqual.values import SourceFacts

STATEMENTS = "statements"
"""Key of a stage's settings that holds the digest of its SQL."""


class Kind(StrEnum):
    """What a query leaves behind."""

    STAGED = "staged"
    """A table for the stage alone; its rows come from a source's own files."""
    TEMP = "temp"
    """A table for the stage alone."""
    TABLE = "table"
    """A table that is kept, as Parquet, and that later stages read."""
    EXPORT = "export"
    """JSON Lines that training reads."""
    FACTS = "facts"
    """Counts that are kept in the stage's seal."""


@dataclass(frozen=True)
class Query:
    """One statement: its name is the table (or the facts) that it makes."""

    name: str
    sql: str
    kind: Kind
    unless: tuple[str, str] | None = None
    """(table, probe): where the probe counts nothing, that table serves as it is and the statement is not run."""


@dataclass(frozen=True)
class Stage:
    """A unit of work that is done again only when its fingerprint changes."""

    name: str
    settings: Mapping[str, Any]
    """All that decides the result, beside the inputs: never a title, a path or a limit of the machine."""
    inputs: Mapping[str, str]
    """Fingerprint of each stage that this one reads, by name."""
    queries: tuple[Query, ...]
    parts: tuple[tuple[str, str], ...] = ()
    """(`file:line`, query) of each rule or category by itself: asked only to find the one that made a query fail."""

    job: Job | None = None
    """What a trainer is given, in a stage that trains."""

    @property
    def fingerprint(self) -> str:
        """sha256 over the settings and the inputs' fingerprints, in hexadecimal."""
        return fingerprint({"stage": self.name, "settings": self.settings, "inputs": dict(self.inputs)})

    @property
    def verb(self) -> str:
        """The kind of work: loading, checking, categorising, grading, assessing, selecting, training."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Plan:
    """The stages of a recipe in the order they run, each after those it reads."""

    recipe: Recipe
    sources: tuple[SourceFacts, ...]
    stages: tuple[Stage, ...]
    notes: tuple[str, ...] = field(default=())
    """What the recipe asks for and this plan does not do, with the reason."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 of each other file that is read, by its path in the recipe."""

    def stage(self, name: str) -> Stage:
        """The stage of this name."""
        return next(stage for stage in self.stages if stage.name == name)


def fingerprint(value: Any) -> str:
    """sha256 of a JSON value in canonical form, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
