"""The results of a run: `results.json` as types, in the order of its keys."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from alpaqual.results.datasets import DatasetResult
from alpaqual.results.evaluation import EvaluationResult
from alpaqual.results.graders import GraderResult
from alpaqual.results.record import Count, Number, Record, Share
from alpaqual.results.training import TrainingResult
from alpaqual.values import State

RESULTS_VERSION: Literal[1] = 1


class RecipeReference(Record, frozen=True, kw_only=True):
    """The recipe that the run follows: `sha256` is over its settings, `overrides` are the KEY=VALUE words of `--set`."""

    name: str
    title: str
    file: str
    sha256: str = ""
    overrides: list[str] = msgspec.field(default_factory=list)


class SourceResult(Record, frozen=True, kw_only=True):
    """Rows that one source has, and rows that could not be read."""

    name: str
    path: str
    format: str
    rows: Count
    quarantined: Count


class QuarantineExample(Record, frozen=True, kw_only=True):
    """A row that could not be read: its source, where it is in it (a line or a row), and why."""

    source: str
    position: int | None
    reason: str | None


class SourcesResult(Record, frozen=True, kw_only=True):
    """Rows of all sources together."""

    rows: Count
    quarantined: Count = 0
    sources: list[SourceResult] = msgspec.field(default_factory=list)
    quarantine_examples: list[QuarantineExample] = msgspec.field(default_factory=list)


class RuleResult(Record, frozen=True, kw_only=True):
    """Rows that fail a rule. `warn` and `fail` are its limits; `drop` says whether failing rows are removed; `place` is file:line."""

    id: str
    state: State
    failing_rows: Count
    rate: Share
    warn: int | str | None
    fail: int | str | None
    description: str
    column: str
    drop: bool
    place: str


class CategoryCount(Record, frozen=True, kw_only=True):
    """Rows in a category; `keyword_hits` adds up the rows of each keyword, so that a row may count more than once."""

    rows: Count
    keyword_hits: Count
    keywords: dict[str, Count]
    description: str = ""


class ExpectationResult(Record, frozen=True, kw_only=True):
    """An expectation and the value found: one for each measure that it names, null where there is none."""

    text: str
    state: State
    value: Number | int | list[Number | int | None] | None
    place: str


class Reason(Record, frozen=True, kw_only=True):
    """Why the verdict is what it is; `place` is file:line in the recipe or a file of rules, or empty."""

    state: State
    text: str
    place: str


class SourceDigests(Record, frozen=True, kw_only=True):
    """The sha256 of each file of a source."""

    name: str
    sha256: list[str]


class Commit(Record, frozen=True, kw_only=True):
    """The git commit of the project; `changed` says whether a file outside of `runs/` and `.alpaqual/` differed from it."""

    sha: str
    changed: bool


class Provenance(Record, frozen=True, kw_only=True):
    """What makes the same rows again, with the recipe and its overrides: versions, commit, digests of sources, and the
    fingerprint of each stage. `files` has the sha256 of what else was read, by its path or name: scores, recorded replies, local models,
    answers, test sets. `command` gives the result again; `commit` is null where the project is in no git repository."""

    alpaqual: str
    python: str = ""
    duckdb: str = ""
    command: str = ""
    commit: Commit | None = None
    sources: list[SourceDigests]
    files: dict[str, str] = msgspec.field(default_factory=dict)
    stages: dict[str, str]


class ReportLimits(Record, frozen=True, kw_only=True):
    """How many rows a report may quote: failing rows of each rule (`examples`), rows near a threshold (`samples`)."""

    examples: Count = 0
    samples: Count = 0


class Results(Record, frozen=True, kw_only=True):
    """Everything that a report shows. A run that a stage ended has a verdict and reasons; the rest is empty."""

    version: Literal[1] = RESULTS_VERSION
    recipe: RecipeReference
    source: SourcesResult
    sources: list[SourceResult] = msgspec.field(default_factory=list)
    rules: list[RuleResult] = msgspec.field(default_factory=list)
    categories: dict[str, CategoryCount] = msgspec.field(default_factory=dict)
    graders: dict[str, GraderResult] = msgspec.field(default_factory=dict)
    datasets: dict[str, DatasetResult]
    expectations: list[ExpectationResult] = msgspec.field(default_factory=list)
    training: dict[str, TrainingResult] = msgspec.field(default_factory=dict)
    evaluation: EvaluationResult | None = None
    reasons: list[Reason]
    verdict: State
    provenance: Provenance | None = None
    settings: ReportLimits = msgspec.field(default_factory=ReportLimits)


def results_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft-07) of `results.json`. More keys may be there beside those named."""
    (root,), definitions = msgspec.json.schema_components([Results], ref_template="#/definitions/{name}")
    definitions["Results"]["properties"]["version"] = {"const": RESULTS_VERSION}
    definitions["Results"]["required"] = ["version", *definitions["Results"]["required"]]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://alpaqual.invalid/schemas/results/v1.json",
        "title": "alpaqual results",
        **root,
        "definitions": definitions,
    }
