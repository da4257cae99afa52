"""What every stage of a plan has: statements, settings, inputs, and the fingerprint made from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from alpaqual.errors import Problem
from alpaqual.plan.facts import StageFacts
from alpaqual.plan.tables import Table

STATEMENTS = "statements"
"""Key of a stage's settings that holds the digest of its SQL."""
ENGINE_VERSION = 2
"""Raised when the same statements give another result: part of every fingerprint."""


@dataclass(frozen=True)
class TemporaryTable:
    """A table that exists while its stage runs."""

    table: Table
    sql: str


@dataclass(frozen=True)
class KeptTable:
    """A table that is stored as Parquet and that later stages read.

    `unless` is (table, query): where the query counts 0, that table is kept under this name and `sql` does not run.
    """

    table: Table
    sql: str
    unless: tuple[Table, str] | None = None


@dataclass(frozen=True)
class Export:
    """JSON Lines that training reads. With `lines`, the query's one column is the text of each line."""

    table: Table
    sql: str
    lines: bool = False


@dataclass(frozen=True)
class Facts:
    """Counts that are kept in the stage's seal under `name`."""

    name: str
    sql: str


Statement = TemporaryTable | KeptTable | Export | Facts


@dataclass(frozen=True)
class Need:
    """What a stage needs of the data: `query` has a row where the data does not meet it, whose values fill the message."""

    query: str
    problem: Problem


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A unit of work that runs again only when its fingerprint changes. Concrete stages are in `alpaqual.plan.stages`."""

    kind: ClassVar[str]
    """Name of this kind of stage, as `--until` takes it."""
    facts: ClassVar[type[StageFacts]] = StageFacts
    """The type of what its `Facts` statements leave."""

    settings: Mapping[str, Any]
    """Everything that decides the result besides the inputs: no title, path or limit of the machine."""
    inputs: tuple[Stage, ...] = ()
    """The stages whose results this one reads."""
    statements: tuple[Statement, ...] = ()
    needs: tuple[Need, ...] = ()
    """Asked before the statements run; no part of the fingerprint, since they change no result."""

    @property
    def subject(self) -> str:
        """The grader or dataset that the stage is about; empty where a plan has one stage of the kind."""
        return ""

    @property
    def name(self) -> str:
        """The kind, then a dot and the subject, such as `grading.accuracy`."""
        return f"{self.kind}.{self.subject}" if self.subject else self.kind

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over settings, statements and the inputs' fingerprints, in hexadecimal."""
        return fingerprint({"stage": self.name, "settings": self.all_settings, "inputs": self.input_fingerprints})

    @cached_property
    def input_fingerprints(self) -> dict[str, str]:
        """Fingerprint of each input, by its name."""
        return {stage.name: stage.fingerprint for stage in self.inputs}

    @cached_property
    def all_settings(self) -> dict[str, Any]:
        """The settings and a digest of the statements: a version with other SQL gets its own results."""
        statements = fingerprint([statement.sql for statement in self.statements])
        return {"engine": ENGINE_VERSION, STATEMENTS: statements, **self.settings}

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that the stage keeps."""
        replaced = [s.unless[0] for s in self.statements if isinstance(s, KeptTable) and s.unless is not None]
        kept = [s.table for s in self.statements if isinstance(s, KeptTable)]
        return tuple(table for table in kept if table not in replaced)

    @property
    def parts(self) -> Iterator[tuple[str, str]]:
        """(`file:line`, query) of each part of a statement: run alone to find the part that makes the statement fail."""
        return iter(())


def fingerprint(value: Any) -> str:
    """sha256 of a JSON value in canonical form, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
