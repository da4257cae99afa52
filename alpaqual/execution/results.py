"""What the stages found -> `results.json`: everything that a report shows, and nothing that changes from run to run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from alpaqual.execution.dataset_results import Facts, dataset_result
from alpaqual.execution.expectations import expectation_result
from alpaqual.execution.health import agreement_result, cascade_result, health_checks
from alpaqual.execution.limits import beyond, rate
from alpaqual.execution.training import Trained
from alpaqual.plan.plan import Plan
from alpaqual.plan.training import TrainStage
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.model import Dataset, Expectation, Like
from alpaqual.recipe.recipe import Recipe
from alpaqual.registry import find
from alpaqual.store.store import Result
from alpaqual.values import Fate, State, worst

RESULTS_VERSION = 1


def build_results(
    plan: Plan, stages: Mapping[str, Result], version: str, trained: Mapping[str, Trained] | None = None
) -> dict[str, Any]:
    """The results of a run: counts, states, the verdict and why. `trained` has how each dataset's training stands."""
    return _Results(plan, {name: result.facts for name, result in stages.items()}, version, trained or {}).build()


class _Results:
    def __init__(self, plan: Plan, facts: Mapping[str, Facts], version: str, trained: Mapping[str, Trained]) -> None:
        self.trained = trained
        self.plan = plan
        self.recipe: Recipe = plan.recipe
        self.facts = facts
        self.version = version
        self.reasons: list[dict[str, str]] = []
        self.rows = sum(row["rows"] for row in facts["loading"]["source_rows"])

    def build(self) -> dict[str, Any]:
        results: dict[str, Any] = {
            "version": RESULTS_VERSION,
            "recipe": {
                "name": self.recipe.name,
                "title": self.recipe.text.title,
                "file": self.recipe.document.file,
            },
            "source": self.source(),
            "rules": self.rules(),
            "categories": self.categories(),
            "graders": self.graders(),
            "datasets": {},
        }
        for name in self.recipe.datasets:
            if f"selecting.{name}" in self.facts:
                results["datasets"][name] = self.dataset(name, results["categories"])
        results["expectations"] = [
            self.expectation(index, each, results) for index, each in enumerate(self.recipe.text.expect)
        ]
        results["training"] = self.training()
        for note in self.plan.notes:
            self.reason(State.WARN, note, "")
        results["reasons"] = sorted(self.reasons, key=lambda reason: -list(State).index(State(reason["state"])))
        results["verdict"] = worst([State(reason["state"]) for reason in self.reasons])
        results["provenance"] = self.provenance()
        results["settings"] = {
            "examples": self.recipe.text.report.examples,
            "samples": self.recipe.text.report.samples,
        }
        return results

    def reason(self, state: State, text: str, place: str) -> None:
        if state is not State.PASS:
            self.reasons.append({"state": state, "text": text, "place": place})

    def source(self) -> dict[str, Any]:
        loading = self.facts["loading"]
        rows = {row["source"]: row["rows"] for row in loading["source_rows"]}
        aside = {row["source"]: row["rows"] for row in loading["quarantined"]}
        sources = []
        for index, (facts, (_, source)) in enumerate(zip(self.plan.sources, self.recipe.sources, strict=True)):
            quarantined, there = aside.get(facts.name, 0), rows.get(facts.name, 0)
            sources.append(
                {
                    "name": facts.name,
                    "path": source.path,
                    "format": facts.format,
                    "rows": there,
                    "quarantined": quarantined,
                }
            )
            if quarantined:
                state = State.FAIL if beyond(quarantined, quarantined + there, source.max_quarantined) else State.WARN
                text = f"{_rows(quarantined)} of {source.path} could not be read: in quarantine (limit {source.max_quarantined})"
                self.reason(state, text, self.recipe.place(("sources", index)))
        for row in loading["incomplete"]:
            text = f"{_rows(row['rows'])} cannot be trained on, in no dataset: {row['reason']}"
            self.reason(State.WARN, text, "")
        examples = [dict(row) for row in loading["quarantine_examples"]]
        return {
            "rows": self.rows,
            "quarantined": sum(aside.values()),
            "sources": sources,
            "quarantine_examples": examples,
        }

    def rules(self) -> list[dict[str, Any]]:
        if "checking" not in self.facts:
            return []
        failing = {row["rule"]: row["rows"] for row in self.facts["checking"]["failing"]}
        rules = []
        for rule in self.recipe.rules:
            rows, warn, fail = failing.get(rule.id, 0), rule.warn, rule.fail
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
            about = {
                "description": rule.description,
                "column": rule.column or "",
                "drop": rule.drop,
                "place": place,
            }
            rules.append(
                {
                    "id": rule.id,
                    "state": state,
                    "failing_rows": rows,
                    "rate": rate(rows, self.rows),
                    "warn": warn,
                    "fail": fail,
                    **about,
                }
            )
        return rules

    def categories(self) -> dict[str, Any]:
        if "categorising" not in self.facts:
            return {}
        counted = {row["category"]: row["rows"] for row in self.facts["categorising"]["category_rows"]}
        hits: dict[str, dict[int, int]] = defaultdict(dict)
        for row in self.facts["categorising"].get("keywords", ()):
            hits[row["category"]][row["keyword"]] = row["rows"]
        categories: dict[str, Any] = {}
        for category in self.recipe.categories:
            if category.category is None:
                continue
            keywords = {keyword: hits[category.category].get(i, 0) for i, keyword in enumerate(category.keywords or ())}
            categories[category.category] = {
                "rows": counted.pop(category.category, 0),
                "keyword_hits": sum(keywords.values()),
                "keywords": keywords,
                "description": category.description,
            }
        for found in sorted(counted):
            categories[found] = {"rows": counted[found], "keyword_hits": 0, "keywords": {}, "description": ""}
        return categories

    def graders(self) -> dict[str, Any]:
        graders: dict[str, Any] = {}
        for name, grader in self.recipe.graders.items():
            facts = self.facts.get(f"grading.{name}")
            if facts is None:
                continue
            unscored = {row["reason"]: row["rows"] for row in facts["reasons"]}
            replies = facts["replies"][0] if "replies" in facts else {}
            scored = sum(row["rows"] for row in facts["scores"])
            graders[name] = {
                "dimension": grader.dimension,
                "source": _source_of(grader),
                "models": list(replies.get("models", ())),
                "scale": {"min": grader.scale.min, "max": grader.scale.max, "step": grader.scale.step},
                "rows": scored + sum(unscored.values()),
                "scored": scored,
                "unscored": sum(unscored.values()),
                "unscored_reasons": unscored,
                "calls_made": replies.get("calls_made", 0),
                "calls_reused": replies.get("calls_reused", 0),
                "input_tokens": replies.get("input_tokens", 0),
                "output_tokens": replies.get("output_tokens", 0),
                "cost_usd": replies.get("cost_usd", 0.0),
                "bought_usd": replies.get("bought_usd", 0.0),
                "calls_per_second": _pace(replies),
                "taken_over": facts["taken_over"][0]["rows"] if "taken_over" in facts else 0,
                "histogram": [{"score": row["score"], "rows": row["rows"]} for row in facts["scores"]],
            }
            self.unanswered(name, grader, graders[name], replies)
            self.assessed(name, grader, graders[name], facts)
        return graders

    def assessed(self, name: str, grader: Grader, found: dict[str, Any], facts: Facts) -> None:
        """Whether the grader can be trusted, and what a cascade saved."""
        known = {**facts, **self.facts.get(f"assessing.{name}", {})}
        found["health"] = health_checks(name, self.recipe.graders, found, known)
        found["agreement"] = agreement_result(grader, known)
        found["cascade"] = cascade_result(grader, found, known)
        for check in found["health"]:
            limit = check["fail"] if check["state"] is State.FAIL else check["warn"] or check["fail"]
            said = check["text"] if check["value"] is not None else f"{check['check']} {check['text']}"
            place = self.recipe.place(("graders", name, "health", *check["check"].split(".")))
            self.reason(check["state"], f"grader {name}: {said} (limit: {limit})", place)

    def unanswered(self, name: str, grader: Grader, found: Mapping[str, Any], replies: Mapping[str, Any]) -> None:
        """What is not well about asking: rows without a score, and a model that is not the one asked for."""
        place = self.recipe.place(("graders", name))
        expected = any(e.grader == name and (e.unscored or e.scored) for e in self.recipe.text.expect)
        if again := replies.get("again", 0):
            # Who said how many rows may be unscored has decided; nobody else trains on a hole without being told.
            state = State.WARN if expected else State.ERROR
            reasons = ", ".join(f"{reason}: {rows:,}" for reason, rows in found["unscored_reasons"].items())
            text = f"grader {name}: {_rows(again)} got no answer ({reasons}); run again to ask about them once more"
            self.reason(state, text, place)
        elif found["unscored"] and grader.live and not expected:
            text = f"grader {name}: {_rows(found['unscored'])} of {found['rows']:,} got no score"
            self.reason(State.WARN, text, place)
        if found["rows"] and found["unscored_reasons"].get("no recorded reply") == found["rows"]:
            text = f"grader {name}: none of {_rows(found['rows'])} has a recorded reply; prompt and parameters must be those of the recording"
            self.reason(State.FAIL, text, place)
        others = [model for model in found["models"] if grader.live and not _same_model(str(grader.model), model)]
        if others:
            text = f"grader {name}: {grader.model} was asked, and {', '.join(others)} answered"
            self.reason(State.WARN, text, place)

    def dataset(self, name: str, categories: Mapping[str, Any]) -> dict[str, Any]:
        dataset = self.recipe.datasets[name]
        result = dataset_result(dataset, self.facts[f"selecting.{name}"], categories, self.rows_like(dataset))
        place = self.recipe.place(("datasets", name))
        decided = sum(result["fates"].values())
        if decided != self.rows:
            self.reason(
                State.ERROR, f"dataset {name}: the fates of {decided:,} rows were decided, of {self.rows:,}", place
            )
        for quota in result["quotas"]:
            asked = f"quota {quota['category']} {quota['limit']} {quota['asked']}"
            text = f"dataset {name}: {asked} asks for {quota['wanted']:,} rows and has {quota['rows']:,}"
            self.reason(State(quota["state"]), text, self.recipe.place(("datasets", name, "quotas", quota["category"])))
        if result.get("sample", 0) > result["rows"]:
            text = (
                f"dataset {name}: a sample of {result['sample']:,} rows is asked for and {result['rows']:,} are there"
            )
            self.reason(State.FAIL if dataset.strict else State.WARN, text, place)
        if result["rows"] == 0:
            self.reason(State.FAIL, f"dataset {name}: no row is selected", place)
        return result

    def rows_like(self, dataset: Dataset) -> int | None:
        if not isinstance(dataset.sample, Like):
            return None
        fates = self.facts[f"selecting.{dataset.sample.like}"]["fates"]
        return next((row["rows"] for row in fates if row["fate"] == Fate.KEPT), 0)

    def expectation(self, index: int, expectation: Expectation, results: Mapping[str, Any]) -> dict[str, Any]:
        result, text = expectation_result(expectation, results)
        place = self.recipe.place(("expect", index))
        self.reason(result["state"], text, place)
        return {**result, "place": place}

    def training(self) -> dict[str, Any]:
        """How each dataset's training stands, and what was measured of it."""
        found: dict[str, Any] = {}
        for name, each in self.trained.items():
            stage = self.plan.find(TrainStage, name)
            assert stage is not None
            job = stage.job
            model = job.model
            found[name] = {
                "state": each.state,
                "why": each.why,
                "base_model": model.path or model.name or f"random {(model.config or {}).get('model_type', 'weights')}",
                "method": job.method,
                "precision": job.precision,
                "epochs": job.steps.epochs,
                "batch_size": job.steps.batch_size,
                "learning_rate": job.steps.learning_rate,
                "max_length": job.text.max_length,
                "loss_on": job.text.loss_on,
                "prompt": job.text.prompt,
                **each.facts,
            }
            if each.facts.get("held_out"):
                found[name]["held_out"] = {
                    "dataset": (job.held_out or "").removesuffix(".jsonl"),
                    **each.facts["held_out"],
                }
            if each.error is not None:
                self.reason(State.ERROR, str(each.error), self.recipe.place(("training",)))
        return found

    def provenance(self) -> dict[str, Any]:
        return {
            "alpaqual": self.version,
            "sources": [
                {"name": facts.name, "sha256": [file.digest for file in facts.files]} for facts in self.plan.sources
            ],
            "stages": {stage.name: stage.fingerprint for stage in self.plan.stages if stage.name in self.facts},
        }


def _source_of(grader: Grader) -> str:
    """Where a grader's scores come from, in words."""
    if grader.of is not None:
        return f"{grader.combine} of {', '.join(grader.of)}"
    if grader.expression is not None:
        return str(grader.kind_plugin.TITLE)
    return grader.model or (f"column {grader.column}" if grader.column else f"table {grader.table}")


def _pace(replies: Mapping[str, Any]) -> float:
    """Calls a second while asking; 0 where none was made."""
    made, seconds = replies.get("calls_made", 0), replies.get("seconds", 0.0)
    return round(made / seconds, 1) if made and seconds else 0.0


def _same_model(asked: str, answered: str) -> bool:
    """Whether a model's id as answered is the one asked for, or a dated version of it."""
    if find("llm", asked.partition("/")[0]).LOCAL:
        return True
    return answered == asked or answered.startswith((f"{asked}-20", f"{asked}@"))


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
