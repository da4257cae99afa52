"""Recipe + what was seen of the sources -> Plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from alpaqual.errors import Problem, RecipeError
from alpaqual.job import Job
from alpaqual.plan.assessing import assesses, assessing_queries
from alpaqual.plan.columns import column as quoted_column
from alpaqual.plan.grading import asked_queries, column_queries, combined_queries, length_queries, table_queries
from alpaqual.plan.loading import kept_type, loading_queries
from alpaqual.plan.plan import STATEMENTS, Plan, Query, Stage, fingerprint
from alpaqual.plan.prompts import asking_settings
from alpaqual.plan.scanning import categorising_queries, checking_queries
from alpaqual.plan.selecting import selecting_queries
from alpaqual.plan.training import training_job, training_settings
from alpaqual.quote import literal, name
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.crosscheck_graders import grader_order
from alpaqual.recipe.explain import suggest
from alpaqual.recipe.expression import parse_where
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.model import Category, Rule
from alpaqual.recipe.recipe import Recipe, dataset_order, parents
from alpaqual.recipe.training import Training
from alpaqual.recipe.yaml_nodes import Path
from alpaqual.registry import find
from alpaqual.values import RESERVED_COLUMNS, ROW_FIELDS, SourceFacts

ENGINE_VERSION = 1
"""Raised when the same statements give another result: part of every fingerprint."""


def compile_plan(recipe: Recipe, sources: Sequence[SourceFacts], digests: Mapping[str, str] | None = None) -> Plan:
    """Lay a recipe out as stages. `digests` has the sha256 of each other file that is read, by its path in the recipe.

    Raises RecipeError where the recipe names a column that no source has.
    """
    return _Compiler(recipe, sources, digests or {}).compile()


class _Compiler:
    def __init__(self, recipe: Recipe, sources: Sequence[SourceFacts], digests: Mapping[str, str]) -> None:
        self.recipe = recipe
        self.sources = sources
        self.digests = digests
        self.problems: list[Problem] = []
        self.stages: dict[str, Stage] = {}

    def compile(self) -> Plan:
        self.carried = self.carry()
        self.stop_at_problems()
        self.loading()
        if self.recipe.rules:
            self.checking()
        if self.recipe.categories:
            self.categorising()
        for grader_name in grader_order(self.recipe.graders):
            self.grading(grader_name, self.recipe.graders[grader_name])
        for grader_name, grader in self.recipe.graders.items():
            if assesses(grader):
                self.assessing(grader_name, grader)
        for dataset in dataset_order(self.recipe.datasets):
            self.selecting(dataset)
        if (training := self.recipe.text.training) is not None:
            self.training(training)
        self.stop_at_problems()
        return Plan(
            self.recipe, tuple(self.sources), tuple(self.stages.values()), tuple(self.notes()), dict(self.digests)
        )

    def stop_at_problems(self) -> None:
        """Raises RecipeError with all that was found so far."""
        if self.problems:
            raise RecipeError(self.problems)

    def add(
        self,
        stage_name: str,
        settings: Mapping[str, Any],
        inputs: Sequence[str],
        queries: Sequence[Query],
        parts: Sequence[tuple[str, str]] = (),
        job: Job | None = None,
    ) -> None:
        fingerprints = {
            wanted: self.stages[wanted].fingerprint for wanted in dict.fromkeys(inputs) if wanted in self.stages
        }
        # The statements count too: another version of alpaqual that asks otherwise gets its own results.
        statements = fingerprint([self.without_paths(query.sql) for query in queries])
        asked = {"engine": ENGINE_VERSION, STATEMENTS: statements, **settings}
        self.stages[stage_name] = Stage(stage_name, asked, fingerprints, tuple(queries), tuple(parts), job)

    def without_paths(self, statement: str) -> str:
        """A statement with each file's content in place of its path: a moved file is the same file."""
        for facts in self.sources:
            for file in facts.files:
                statement = statement.replace(literal(file.path), literal(file.digest))
        return statement

    def notes(self) -> list[str]:
        if self.recipe.text.evaluation is None:
            return []
        return ["evaluation is asked for and not done: this version of alpaqual does not have that stage yet"]

    # Columns: what a recipe calls a column, and where `rows` has it.

    def carry(self) -> dict[str, list[str]]:
        """The sources' own columns that something in the recipe reads, by source."""
        carried: dict[str, list[str]] = {facts.name: [] for facts in self.sources}
        for wanted, place in self.wanted_columns():
            if self.row_field(wanted) is not None:
                continue
            plain = wanted.removeprefix("source.")
            holders = [facts for facts in self.sources if plain in facts.columns]
            if not holders:
                known = dict.fromkeys([*ROW_FIELDS, *(column for facts in self.sources for column in facts.columns)])
                hint = suggest(plain, known) or f"; there are: {', '.join(known)}"
                self.problems.append(self.problem_at(place, f"no source has a column '{plain}'{hint}"))
            for facts in holders:
                if plain not in carried[facts.name]:
                    carried[facts.name].append(plain)
        return {source: sorted(columns) for source, columns in carried.items()}

    def wanted_columns(self) -> list[tuple[str, Path | str]]:
        """Each column that the recipe names, with its path in the recipe or its `file:line` elsewhere."""
        wanted: list[tuple[str, Path | str]] = []
        for rule in self.recipe.rules:
            place = self.recipe.rule_places.get(rule.id, "")
            wanted += [(column, place) for column in _columns_of(rule)]
        for place, category in zip(self.recipe.category_places, self.recipe.categories, strict=True):
            wanted += [(column, place) for column in _columns_of(category)]
        for grader_name, grader in self.recipe.graders.items():
            if grader.column is not None:
                wanted.append((grader.column, ("graders", grader_name, "column")))
            if grader.table is not None and grader.key != "id":
                wanted.append((grader.key, ("graders", grader_name, "key")))
        return wanted

    def problem_at(self, place: Path | str, message: str) -> Problem:
        if isinstance(place, tuple):
            return self.recipe.problem(place, message)
        file, _, line = place.rpartition(":")
        return Problem(file, int(line or 0), 1, message)

    def row_field(self, column: str) -> str | None:
        """The reserved column that a name means: one of ours, or a source's column that is mapped to one everywhere."""
        if column in RESERVED_COLUMNS:
            return column
        plain = column.removeprefix("source.")
        meant = {next((field for field, own in facts.fields.items() if own == plain), None) for facts in self.sources}
        field = meant.pop() if len(meant) == 1 else None
        return field if field in ROW_FIELDS else None

    def column(self, column: str) -> str:
        field = self.row_field(column)
        return name(field) if field else quoted_column(column)

    # Stages

    def loading(self) -> None:
        plugins = [(facts, find("sources", facts.format)) for facts in self.sources]
        plugins = [(facts, plugin()) for facts, plugin in plugins]
        types = {
            column: kept_type([facts.columns[column] for facts in self.sources if column in self.carried[facts.name]])
            for column in sorted({column for columns in self.carried.values() for column in columns})
        }
        settings = {
            "sources": [
                {
                    "name": facts.name,
                    "format": facts.format,
                    "version": plugin.VERSION,
                    "files": [file.digest for file in facts.files],
                    "fields": dict(facts.fields),
                    "columns": self.carried[facts.name],
                }
                for facts, plugin in plugins
            ],
            "types": types,
        }
        self.add("loading", settings, (), loading_queries(plugins, self.carried, types))

    def checking(self) -> None:
        queries = checking_queries(self.recipe.rules, self.column)
        # Limits and words are left out: another limit finds the same failures.
        rules = {rule.id: _settings(rule, "id", "description", "warn", "fail", "drop") for rule in self.recipe.rules}
        parts = [
            (self.recipe.rule_places.get(rule.id, ""), checking_queries([rule], self.column)[0].sql)
            for rule in self.recipe.rules
        ]
        self.add("checking", {"rules": rules}, ("loading",), queries, parts)

    def categorising(self) -> None:
        queries = categorising_queries(self.recipe.categories, self.column)
        categories = {
            category.category or f"column {category.column}": _settings(category, "category", "description")
            for category in self.recipe.categories
        }
        parts = [
            (place, categorising_queries([category], self.column)[0].sql)
            for place, category in zip(self.recipe.category_places, self.recipe.categories, strict=True)
        ]
        self.add("categorising", {"categories": categories}, ("loading",), queries, parts)

    def grading(self, grader_name: str, grader: Grader) -> None:
        stage = f"grading.{grader_name}"
        scale = msgspec.to_builtins(grader.scale)
        if grader.column is not None:
            queries = column_queries(grader_name, grader, self.column(grader.column))
            self.add(stage, {"column": grader.column, "scale": scale}, ("loading",), queries)
        elif grader.table is not None:
            queries = table_queries(grader_name, grader, self.column(grader.key))
            settings = {
                "table": self.digests.get(grader.table, ""),
                "key": grader.key,
                "score": grader.score,
                "scale": scale,
            }
            self.add(stage, settings, ("loading",), queries)
        elif grader.of is not None:
            settings = {"of": grader.of, "combine": grader.combine, "within": grader.within, "scale": scale}
            inputs = [f"grading.{other}" for other in grader.of]
            self.add(stage, settings, inputs, combined_queries(grader_name, grader))
        elif grader.kind == "length":
            self.add(stage, {"length": "characters", "scale": scale}, ("loading",), length_queries(grader_name, grader))
        else:
            model = self.digests.get(str(grader.model), str(grader.model))
            settings = asking_settings(grader, self.recipe.prompts.get(grader_name), model)
            if grader.live and (golden := grader.health.golden) is not None:
                settings["golden"] = [self.digests.get(golden.file, ""), golden.within]
            inputs = ["loading", *([f"grading.{grader.cascade.first}"] if grader.cascade else [])]
            dropping = self.recipe.dropping
            if grader.live and dropping:
                settings["dropping"] = dropping
                inputs.append("checking")
            self.add(stage, settings, inputs, asked_queries(grader_name, grader))

    def assessing(self, grader_name: str, grader: Grader) -> None:
        dropping = self.recipe.dropping
        other = grader.health.agreement.with_ if grader.health.agreement else None
        first = grader.cascade.first if grader.cascade else None
        inputs = ["loading", *(f"grading.{each}" for each in (grader_name, other, first) if each)]
        inputs += ["checking"] if grader.live and first and dropping else []
        settings = {"length": "characters", "agreement": other, "cascade": first}
        queries = assessing_queries(grader_name, self.recipe.graders, dropping)
        self.add(f"assessing.{grader_name}", settings, inputs, queries)

    def selecting(self, dataset_name: str) -> None:
        dataset = self.recipe.datasets[dataset_name]
        dropping = self.recipe.dropping
        queries = selecting_queries(
            dataset_name,
            dataset,
            dropping=dropping,
            graders=self.recipe.graders,
            has_categories=bool(self.recipe.categories),
        )
        inputs = [
            "loading",
            *(f"grading.{grader}" for grader in dataset.threshold),
            *(f"selecting.{parent}" for parent in parents(dataset)),
        ]
        inputs += ["checking"] if dropping else []
        inputs += ["categorising"] if self.recipe.categories else []
        settings = {key: value for key, value in msgspec.to_builtins(dataset).items() if key != "strict"}
        # Quotas are met in the order written, so their order is part of what is asked.
        settings["quotas"] = [
            [category, {k: v for k, v in quota.items() if k != "strict"}]
            for category, quota in settings.get("quotas", {}).items()
        ]
        self.add(f"selecting.{dataset_name}", {**settings, "dropping": dropping}, inputs, queries)

    def training(self, training: Training) -> None:
        for dataset in training.datasets:
            self.training_on(dataset, training)

    def training_on(self, dataset: str, training: Training) -> None:
        job = training_job(self.recipe, training, dataset, self.digests)
        plugin = find("trainers", training.trainer)()
        if not plugin.TRAINS:
            message = f"{training.trainer} is trained with elsewhere: name it in 'exports', and leave 'trainer' out"
            self.problems.append(self.recipe.problem(("training", "trainer"), message))
        for trainer in (training.trainer, *training.exports):
            try:
                find("trainers", trainer)().files(job)
            except ValueError as error:
                self.problems.append(self.recipe.problem(("training",), f"trainer {trainer}: {error}"))
        inputs = [f"selecting.{dataset}", *([f"selecting.{training.held_out}"] if training.held_out else [])]
        self.add(f"training.{dataset}", training_settings(job, training.trainer, plugin.VERSION), inputs, (), job=job)


def _columns_of(part: Rule | Category) -> list[str]:
    if part.where is not None:
        return list(parse_where(part.where))
    if isinstance(part, Rule) and checks_of(part)[0][0] in ("no_duplicates", "no_conflicts"):
        return []
    return [part.column] if part.column is not None else []


def _settings(part: Rule | Category, *without: str) -> dict[str, Any]:
    """What decides the result of a rule or category: all but its names and limits."""
    return {key: value for key, value in msgspec.to_builtins(part).items() if key not in without}
