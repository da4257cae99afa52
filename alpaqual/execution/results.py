"""Builds the results of a run from what its stages found: counts, states, the verdict and the reasons for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from alpaqual.amounts import counted_rows, rate
from alpaqual.errors import AlpaqualError, StageError, StoreError
from alpaqual.execution.calibration_results import calibration_result
from alpaqual.execution.dataset_results import dataset_result, with_files
from alpaqual.execution.expectations import expectation_result
from alpaqual.execution.grader_results import grader_reasons, grader_result
from alpaqual.execution.limits import beyond
from alpaqual.execution.provenance import provenance
from alpaqual.execution.training import Trained
from alpaqual.job_folder import MANIFEST, MODEL
from alpaqual.plan.assessing import AssessStage
from alpaqual.plan.categorizing import CategorizeStage
from alpaqual.plan.checking import CheckStage
from alpaqual.plan.facts import (
    AssessFacts,
    CategoryFacts,
    CheckFacts,
    F,
    GradeFacts,
    GraderFacts,
    LoadFacts,
    SelectFacts,
    WriteFacts,
    convert_facts,
)
from alpaqual.plan.grading import GradeStage
from alpaqual.plan.loading import LoadStage
from alpaqual.plan.plan import Plan
from alpaqual.plan.selecting import SelectStage
from alpaqual.plan.stage import Stage, fingerprint
from alpaqual.plan.stages import stages_until
from alpaqual.plan.training import TrainStage
from alpaqual.plan.writing import WriteStage
from alpaqual.recipe.expectations import Expectation
from alpaqual.recipe.measures import is_about_evaluation
from alpaqual.recipe.model import Dataset, Like, Rule
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.score_names import ScoreOf
from alpaqual.results.datasets import DatasetResult
from alpaqual.results.graders import GraderResult
from alpaqual.results.results import (
    CategoryCount,
    Commit,
    ExpectationResult,
    QuarantineExample,
    Reason,
    RecipeReference,
    ReportLimits,
    Results,
    RuleResult,
    SourceResult,
    SourcesResult,
)
from alpaqual.results.training import TrainingResult, convert_training
from alpaqual.store.store import Result
from alpaqual.values import Fate, State, worst


def build_results(plan: Plan, stages: Mapping[str, Result], commit: Commit | None, until: str | None = None) -> Results:
    """Build the results of the data from its finished stages; `until` is the kind of the last stages that were to run."""
    return _Builder(plan, stages, commit, until).build()


def with_training(plan: Plan, results: Results, trained: Mapping[str, Trained]) -> Results:
    """Add how the training of each dataset went, with its settings and what was measured."""
    place = plan.recipe.place(("training",))
    errors = [
        Reason(state=State.ERROR, text=str(each.error), place=place)
        for each in trained.values()
        if each.error is not None
    ]
    return msgspec.structs.replace(
        results,
        training={name: _training_result(plan, name, each) for name, each in trained.items()},
        **judged([*results.reasons, *errors]),
    )


def judged(reasons: Sequence[Reason]) -> dict[str, Any]:
    """The reasons, worst first, and the verdict that follows from them."""
    order = list(State)
    return {
        "reasons": sorted(reasons, key=lambda reason: -order.index(reason.state)),
        "verdict": worst([reason.state for reason in reasons]),
    }


def _training_result(plan: Plan, dataset: str, trained: Trained) -> TrainingResult:
    stage = plan.find(TrainStage, dataset)
    assert stage is not None
    job, model = stage.job, stage.job.model
    measured = dict(trained.facts)
    if measured.get("held_out"):
        measured["held_out"] = {"dataset": (job.held_out or "").removesuffix(".jsonl"), **measured["held_out"]}
    settings = {
        "state": trained.state,
        "why": trained.why,
        "base_model": model.path or model.name or f"random {(model.config or {}).get('model_type', 'weights')}",
        "method": job.method,
        "precision": job.precision,
        "epochs": job.steps.epochs,
        "batch_size": job.steps.batch_size,
        "learning_rate": job.steps.learning_rate,
        "max_length": job.text.max_length,
        "loss_on": job.text.loss_on,
        "prompt": job.text.prompt,
    }
    try:
        return convert_training(settings | measured)
    except msgspec.ValidationError as error:
        where = f"training/{dataset}/{MODEL}/{MANIFEST}"
        raise StageError(f"{where} is broken ({error}); remove training/{dataset} and run again") from None


def failed_results(plan: Plan, error: AlpaqualError, commit: Commit | None = None) -> Results:
    """Build the results of a run that an error ended: the verdict and the reason, without counts."""
    return Results(
        recipe=_recipe_reference(plan.recipe),
        source=SourcesResult(rows=0),
        datasets={},
        reasons=[Reason(state=State.ERROR, text=str(error), place="")],
        verdict=State.ERROR,
        provenance=provenance(plan, (), commit),
    )


def _recipe_reference(recipe: Recipe) -> RecipeReference:
    return RecipeReference(
        name=recipe.name,
        title=recipe.text.title,
        file=recipe.file,
        sha256=fingerprint(msgspec.to_builtins(recipe.text)),
        overrides=list(recipe.document.sets.values()),
    )


def _counted_by(expectation: Expectation) -> type[Stage]:
    """The kind of stage that counts what an expectation is about."""
    if expectation.dataset is not None:
        return SelectStage
    if expectation.grader is not None:
        return GradeStage
    if expectation.rule is not None:
        return CheckStage
    return LoadStage if expectation.category is None else CategorizeStage


_NOTHING_LOADED = LoadFacts(source_rows=(), quarantined=(), incomplete=(), quarantine_examples=())


class _Builder:
    def __init__(
        self,
        plan: Plan,
        stages: Mapping[str, Result],
        commit: Commit | None,
        until: str | None,
    ) -> None:
        self.until = until
        self.plan = plan
        self.recipe: Recipe = plan.recipe
        self.stages = stages
        self.commit = commit
        self.reasons: list[Reason] = []
        self.loading = self.facts(LoadStage, LoadFacts) or _NOTHING_LOADED
        self.rows = sum(row.rows for row in self.loading.source_rows)

    def facts(self, kind: type[Stage], facts: type[F], subject: str = "") -> F | None:
        """The facts of a stage that ran; None for one that did not."""
        stage = self.plan.find(kind, subject)
        if stage is None or stage.name not in self.stages:
            return None
        result = self.stages[stage.name]
        try:
            return convert_facts(result.facts, facts)
        except msgspec.ValidationError as error:
            message = f"the stored result {result.folder} is damaged ({error}); delete that folder and run again"
            raise StoreError(message) from None

    def build(self) -> Results:
        source, rules, categories = self.source(), self.rules(), self.categories()
        found = Results(
            recipe=_recipe_reference(self.recipe),
            source=source,
            sources=source.sources,
            rules=rules,
            categories=categories,
            graders=self.graders(),
            datasets=dict(self.datasets(categories)),
            reasons=[],
            verdict=State.PASS,
            provenance=provenance(self.plan, self.stages, self.commit),
            settings=ReportLimits(examples=self.recipe.text.report.examples, samples=self.recipe.text.report.samples),
        )
        expectations = list(self.expectations(found))
        for note in self.plan.notes:
            self.reason(State.WARN, note, "")
        if left_out := self.left_out():
            self.reason(State.INCOMPLETE, f"stopped after {self.until} (--until); not run: {', '.join(left_out)}", "")
        return msgspec.structs.replace(found, expectations=expectations, **judged(self.reasons))

    def reason(self, state: State, text: str, place: str) -> None:
        if state is not State.PASS:
            self.reasons.append(Reason(state=state, text=text, place=place))

    def left_out(self) -> list[str]:
        """The kinds of stages that `until` left out."""
        reached = stages_until(self.plan.stages, self.until)
        return list(dict.fromkeys(stage.kind for stage in self.plan.stages if stage not in reached))

    def source(self) -> SourcesResult:
        loading = self.loading
        rows = {row.source: row.rows for row in loading.source_rows}
        quarantined = {row.source: row.rows for row in loading.quarantined}
        why = {row.source: row.reason for row in reversed(loading.quarantine_examples)}
        sources = []
        for index, (facts, (_, source)) in enumerate(zip(self.plan.sources, self.recipe.sources, strict=True)):
            unread, read = quarantined.get(facts.name, 0), rows.get(facts.name, 0)
            sources.append(
                SourceResult(name=facts.name, path=source.path, format=facts.format, rows=read, quarantined=unread)
            )
            if unread:
                state = State.FAIL if beyond(unread, unread + read, source.max_quarantined) else State.WARN
                text = f"{counted_rows(unread)} of {source.path} could not be read: in quarantine (limit {source.max_quarantined})"
                if first := why.get(facts.name):
                    text += f"; {'the first: ' if unread > 1 else ''}{first}"
                self.reason(state, text, self.recipe.place(("sources", index)))
        for row in loading.incomplete:
            text = f"{counted_rows(row.rows)} cannot be trained on, in no dataset: {row.reason}"
            self.reason(State.WARN, text, "")
        return SourcesResult(
            rows=self.rows,
            quarantined=sum(quarantined.values()),
            sources=sources,
            quarantine_examples=[
                QuarantineExample(source=row.source, position=row.position, reason=row.reason)
                for row in loading.quarantine_examples
            ],
        )

    def rules(self) -> list[RuleResult]:
        facts = self.facts(CheckStage, CheckFacts)
        if facts is None:
            return []
        failing = {row.rule: row.rows for row in facts.failing}
        return [self.rule(rule, failing.get(rule.id, 0)) for rule in self.recipe.rules]

    def rule(self, rule: Rule, rows: int) -> RuleResult:
        warn, fail = rule.warn, rule.fail
        if warn is None and fail is None:
            fail = 0
        state = State.PASS
        if fail is not None and beyond(rows, self.rows, fail):
            state = State.FAIL
        elif warn is not None and beyond(rows, self.rows, warn):
            state = State.WARN
        place = self.recipe.rule_places.get(rule.id, "")
        limit = fail if state is State.FAIL else warn
        self.reason(state, f"rule {rule.id}: {rows:,} of {self.rows:,} rows fail (limit {limit})", place)
        return RuleResult(
            id=rule.id,
            state=state,
            failing_rows=rows,
            rate=rate(rows, self.rows),
            warn=warn,
            fail=fail,
            description=rule.description,
            column=rule.checked,
            drop=rule.drop,
            place=place,
        )

    def categories(self) -> dict[str, CategoryCount]:
        facts = self.facts(CategorizeStage, CategoryFacts)
        if facts is None:
            return {}
        counted = {row.category: row.rows for row in facts.category_rows}
        hits: dict[str, dict[int, int]] = defaultdict(dict)
        for row in facts.keywords:
            hits[row.category][row.keyword] = row.rows
        categories: dict[str, CategoryCount] = {}
        for category in self.recipe.categories:
            if category.category is None:
                continue
            keywords = {keyword: hits[category.category].get(i, 0) for i, keyword in enumerate(category.keywords or ())}
            categories[category.category] = CategoryCount(
                rows=counted.pop(category.category, 0),
                keyword_hits=sum(keywords.values()),
                keywords=keywords,
                description=category.description,
            )
        for found in sorted(counted):
            categories[found] = CategoryCount(rows=counted[found], keyword_hits=0, keywords={})
        return categories

    def graders(self) -> dict[str, GraderResult]:
        graders: dict[str, GraderResult] = {}
        for name, grader in self.recipe.graders.items():
            grades = self.facts(GradeStage, GradeFacts, name)
            if grades is None:
                continue
            facts = GraderFacts(grades, self.facts(AssessStage, AssessFacts, name))
            if isinstance(grader, ScoreOf):
                asked = self.facts(GradeStage, GradeFacts, grader.asked)
                facts = msgspec.structs.replace(facts, asked=asked, part=grader.part)
            graders[name] = grader_result(name, self.recipe.graders, facts)
            if calibration := calibration_result(name, self.recipe, grades):
                graders[name] = msgspec.structs.replace(graders[name], calibration=calibration)
            for reason in grader_reasons(name, self.recipe, graders[name], facts):
                self.reason(reason.state, reason.text, reason.place)
        return graders

    def datasets(self, categories: Mapping[str, CategoryCount]) -> Iterator[tuple[str, DatasetResult]]:
        for name in self.recipe.datasets:
            facts = self.facts(SelectStage, SelectFacts, name)
            if facts is not None:
                yield name, self.dataset(name, facts, categories)

    def dataset(self, name: str, facts: SelectFacts, categories: Mapping[str, CategoryCount]) -> DatasetResult:
        dataset = self.recipe.datasets[name]
        result = dataset_result(dataset, self.recipe.limits(name), facts, categories, self.rows_like(dataset))
        written = self.facts(WriteStage, WriteFacts, name)
        if written is not None:
            result = with_files(result, name, dataset, written)
        place = self.recipe.place(("datasets", name))
        decided = sum(result.fates.values())
        if decided != self.rows:
            self.reason(State.ERROR, f"dataset {name}: {decided:,} rows have a fate, of {self.rows:,}", place)
        for category in dict.fromkeys(quota.category for quota in result.quotas):
            if category not in categories or not categories[category].rows:
                hint = suggest(category, (each for each in categories if each != category))
                text = f"dataset {name}: no row is in the category '{category}' of a quota{hint}"
                self.reason(State.WARN, text, self.recipe.place(("datasets", name, "quotas", category)))
        for quota in result.quotas:
            asked = f"quota {quota.category} {quota.limit} {quota.asked}"
            text = f"dataset {name}: {asked} asks for {quota.wanted:,} rows and has {quota.rows:,}"
            self.reason(quota.state, text, self.recipe.place(("datasets", name, "quotas", quota.category)))
        if (sample := result.sample or 0) > result.rows:
            text = f"dataset {name}: the sample asks for {sample:,} rows and has {result.rows:,}"
            self.reason(State.FAIL if dataset.strict else State.WARN, text, place)
        if result.rows == 0:
            self.reason(State.FAIL, f"dataset {name}: no row is selected", place)
        for split, found in (result.splits or {}).items() if result.rows else ():
            if not found.rows:
                text = f"dataset {name}: no row is in the split {split}, of {counted_rows(result.rows)}: {_advice(dataset, result)}"
                self.reason(State.FAIL if dataset.strict else State.WARN, text, place)
        return result

    def rows_like(self, dataset: Dataset) -> int | None:
        if not isinstance(dataset.sample, Like):
            return None
        facts = self.facts(SelectStage, SelectFacts, dataset.sample.like)
        fates = facts.fates if facts is not None else ()
        return next((row.rows for row in fates if row.fate == Fate.KEPT), 0)

    def expectations(self, found: Results) -> Iterator[ExpectationResult]:
        left_out = self.left_out()
        for index, expectation in enumerate(self.recipe.text.expect):
            if is_about_evaluation(expectation) or _counted_by(expectation).kind in left_out:
                continue
            result, text = expectation_result(expectation, found, self.recipe.place(("expect", index)))
            self.reason(result.state, text, result.place)
            yield result


def _advice(dataset: Dataset, result: DatasetResult) -> str:
    """What to do about a split without a row: with one split that has all, the groups may be too few."""
    group = (dataset.split or {}).get("group")
    filled = [split for split, found in (result.splits or {}).items() if found.rows]
    if group is not None and len(filled) == 1:
        return f"all are in {filled[0]}, since rows with the same '{group}' stay together; one group fills one split"
    return "give it a larger share, or 'split' another seed"
