"""What the stages found -> `results.json`: everything that a report shows, and nothing that changes from run to run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from alpaqual.plan.plan import Plan
from alpaqual.recipe.crosscheck import exact
from alpaqual.recipe.model import Bounds, Dataset, Expectation, Like, Quota
from alpaqual.recipe.recipe import Recipe
from alpaqual.store.store import Result
from alpaqual.values import Fate, State, worst

RESULTS_VERSION = 1

Facts = Mapping[str, Sequence[Mapping[str, Any]]]


def build_results(plan: Plan, stages: Mapping[str, Result], version: str) -> dict[str, Any]:
    """The results of a run: counts, states, the verdict and why."""
    return _Results(plan, {name: result.facts for name, result in stages.items()}, version).build()


def rate(part: int, whole: int) -> float:
    """A share, rounded so that it is the same text everywhere; 0 of 0 is 0."""
    return round(part / whole, 6) if whole else 0.0


def beyond(count: int, whole: int, limit: int | str) -> bool:
    """Whether a count is more than a limit, which is a count or a percentage of `whole`; exact."""
    return Fraction(count) > bound(limit, whole)


def bound(limit: float | str, whole: int) -> Fraction:
    """A limit as a number of rows."""
    if isinstance(limit, str):
        return exact(float(limit.rstrip("%"))) * whole / 100
    return exact(limit)


class _Results:
    def __init__(self, plan: Plan, facts: Mapping[str, Facts], version: str) -> None:
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
                text = f"{quarantined:,} rows of {source.path} could not be read and are in quarantine (limit {source.max_quarantined})"
                self.reason(state, text, self.recipe.place(("sources", index)))
        for row in loading["incomplete"]:
            text = f"{row['rows']:,} rows cannot be trained on and are in no dataset: {row['reason']}"
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
        counted = {row["category"]: row["rows"] for row in self.facts["categorising"]["members"]}
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
                "source": grader.model or (f"column {grader.column}" if grader.column else f"table {grader.table}"),
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
                "cost_usd": 0.0,
                "histogram": [{"score": row["score"], "rows": row["rows"]} for row in facts["scores"]],
            }
        return graders

    def dataset(self, name: str, categories: Mapping[str, Any]) -> dict[str, Any]:
        dataset = self.recipe.datasets[name]
        facts = self.facts[f"selecting.{name}"]
        fates = {fate: 0 for fate in Fate} | {Fate(row["fate"]): row["rows"] for row in facts["fates"]}
        if sum(fates.values()) != self.rows:
            self.reason(
                State.ERROR,
                f"dataset {name}: the fates of {sum(fates.values()):,} rows were decided, of {self.rows:,}",
                self.place(name),
            )
        eligible = self.rows - fates[Fate.REMOVED_BY_RULE]
        by_category: dict[str, dict[Fate, int]] = defaultdict(lambda: dict.fromkeys(Fate, 0))
        refilled: dict[str, int] = defaultdict(int)
        for row in facts.get("category_fates", ()):
            by_category[row["category"]][Fate(row["fate"])] = row["rows"]
            refilled[row["category"]] += row["refilled"]
        kept = fates[Fate.KEPT]
        below = sum(row["refilled"] for row in facts["fates"])
        # What the threshold alone keeps: without the rows that quotas added, with those that they took out.
        result: dict[str, Any] = {
            "rows": kept,
            "keep_rate": rate(kept, eligible),
            "eligible": eligible,
            "at_threshold": self.at_threshold(fates, below, dataset),
            "below_threshold": below,
            "threshold": dict(dataset.threshold),
            "from": dataset.from_,
            "fates": {str(fate): rows for fate, rows in fates.items()},
            "quotas": [],
            "shortfall": 0,
            "categories": {},
        }
        for category in categories:
            counts = by_category[category]
            within = sum(counts.values()) - counts[Fate.REMOVED_BY_RULE]
            result["categories"][category] = {
                "rows": counts[Fate.KEPT],
                "keep_rate": rate(counts[Fate.KEPT], within),
                "share": rate(counts[Fate.KEPT], kept),
                "eligible": within,
                "at_threshold": self.at_threshold(counts, refilled[category], dataset),
                "below_threshold": refilled[category],
                "shortfall": 0,
                "fates": {str(fate): rows for fate, rows in counts.items()},
            }
        if dataset.sample is None:
            self.quotas(name, dataset, result)
        else:
            self.sample(name, dataset, result)
        result["scores"] = [dict(row) for row in facts.get("scores", ())]
        result["category_scores"] = [dict(row) for row in facts.get("category_scores", ())]
        result["near"] = [dict(row) for row in facts.get("near", ())]
        if kept == 0:
            self.reason(State.FAIL, f"dataset {name}: no row is selected", self.place(name))
        return result

    def place(self, dataset: str) -> str:
        return self.recipe.place(("datasets", dataset))

    @staticmethod
    def at_threshold(fates: Mapping[Fate, int], refilled: int, dataset: Dataset) -> int:
        return (
            fates[Fate.KEPT]
            - refilled
            + fates[Fate.REMOVED_BY_QUOTA]
            + (fates[Fate.NOT_SAMPLED] if dataset.from_ is None else 0)
        )

    def quotas(self, name: str, dataset: Dataset, result: dict[str, Any]) -> None:
        for category, quota in dataset.quotas.items():
            counts = result["categories"].get(category) or {"rows": 0, "eligible": 0, "at_threshold": 0}
            result["categories"].setdefault(
                category,
                {**counts, "keep_rate": 0.0, "share": 0.0, "below_threshold": 0, "shortfall": 0, "fates": {}},
            )
            for limit, asked, wanted in _wanted(quota, counts, result):
                missing = wanted - counts["rows"] if limit.startswith("min") else counts["rows"] - wanted
                missing = max(0, missing)
                strict = dataset.strict if quota.strict is None else quota.strict
                state = State.PASS if not missing else State.FAIL if strict else State.WARN
                result["quotas"].append(
                    {
                        "category": category,
                        "limit": limit,
                        "asked": asked,
                        "wanted": wanted,
                        "rows": counts["rows"],
                        "shortfall": missing,
                        "state": state,
                    }
                )
                shown = result["categories"][category]
                shown["shortfall"] = max(shown["shortfall"], missing)
                text = f"dataset {name}: quota {category} {limit} {asked} asks for {wanted:,} rows and has {counts['rows']:,}"
                self.reason(state, text, self.recipe.place(("datasets", name, "quotas", category)))
        result["shortfall"] = sum(quota["shortfall"] for quota in result["quotas"])

    def sample(self, name: str, dataset: Dataset, result: dict[str, Any]) -> None:
        if isinstance(dataset.sample, Like):
            facts = self.facts[f"selecting.{dataset.sample.like}"]
            wanted = next((row["rows"] for row in facts["fates"] if row["fate"] == Fate.KEPT), 0)
        else:
            wanted = int(dataset.sample or 0)
        missing = max(0, wanted - result["rows"])
        result["sample"] = wanted
        result["shortfall"] = missing
        state = State.FAIL if dataset.strict else State.WARN
        if missing:
            self.reason(
                state,
                f"dataset {name}: a sample of {wanted:,} rows is asked for and {result['rows']:,} are there",
                self.place(name),
            )

    def expectation(self, index: int, expectation: Expectation, results: Mapping[str, Any]) -> dict[str, Any]:
        texts: list[str] = []
        met = True
        values: list[Any] = []
        subject = _subject(expectation)
        for measure in ("rows", "keep_rate", "share", "scored", "unscored", "failing_rows", "quarantined"):
            bounds: Bounds | None = getattr(expectation, measure)
            if bounds is None:
                continue
            value, whole = _measured(expectation, measure, results)
            texts.append(f"{measure} {_between(bounds)}")
            values.append(value)
            met = met and value is not None and _inside(value, whole, bounds)
        state = State.PASS if met else State(expectation.level)
        text = f"{subject}: {' and '.join(texts)}"
        shown = ", ".join("not there" if value is None else _number(value) for value in values)
        place = self.recipe.place(("expect", index))
        self.reason(state, f"expected {text}; found {shown}", place)
        return {
            "text": text,
            "state": state,
            "value": values[0] if len(values) == 1 else values,
            "place": place,
        }

    def provenance(self) -> dict[str, Any]:
        return {
            "alpaqual": self.version,
            "sources": [
                {"name": facts.name, "sha256": [file.digest for file in facts.files]} for facts in self.plan.sources
            ],
            "stages": {stage.name: stage.fingerprint for stage in self.plan.stages if stage.name in self.facts},
        }


def _wanted(
    quota: Quota, counts: Mapping[str, Any], result: Mapping[str, Any]
) -> Iterable[tuple[str, float | str, int]]:
    """Each limit of a quota with the rows that it asks for, counted against the dataset as it ended."""
    for limit in ("min_keep_rate", "min_rows", "min_share", "max_rows", "max_share"):
        asked = getattr(quota, limit)
        if asked is None:
            continue
        if asked == "overall":
            least = Fraction(result["at_threshold"], result["eligible"] or 1) * counts["eligible"]
        elif limit == "min_keep_rate":
            least = exact(asked) * counts["eligible"]
        elif limit.endswith("share"):
            least = exact(asked) * result["rows"]
        else:
            least = Fraction(asked)
        yield limit, asked, int(-(-least // 1)) if limit.startswith("min") else int(least // 1)


def _subject(expectation: Expectation) -> str:
    parts = [
        f"{kind} {name}"
        for kind in ("dataset", "category", "grader", "rule")
        if (name := getattr(expectation, kind)) is not None
    ]
    return " ".join(parts) or "sources"


def _measured(expectation: Expectation, measure: str, results: Mapping[str, Any]) -> tuple[float | None, int]:
    """The number, and the rows that a percentage is of."""
    if expectation.rule is not None:
        rule = next((rule for rule in results["rules"] if rule["id"] == expectation.rule), None)
        return (None if rule is None else rule["failing_rows"]), results["source"]["rows"]
    if expectation.grader is not None:
        grader = results["graders"].get(expectation.grader)
        return (None, 0) if grader is None else (grader[measure], grader["rows"])
    holder: Mapping[str, Any] | None = results["source"]
    whole = results["source"]["rows"]
    if expectation.dataset is not None:
        holder = results["datasets"].get(expectation.dataset)
        whole = 0 if holder is None else holder["eligible"]
    if expectation.category is not None and holder is not None:
        among = holder["categories"] if expectation.dataset is not None else results["categories"]
        holder = among.get(expectation.category)
        whole = 0 if holder is None else holder.get("eligible", results["source"]["rows"])
    return (None if holder is None else holder.get(measure)), whole


def _inside(value: float, whole: int, bounds: Bounds) -> bool:
    """Whether the number lies within; a percentage is of `whole` rows, or of 1 where the number is a share itself."""
    of = 1 if isinstance(value, float) else whole
    low = bounds.min is None or exact(value) >= bound(bounds.min, of)
    return low and (bounds.max is None or exact(value) <= bound(bounds.max, of))


def _between(bounds: Bounds) -> str:
    low, high = (
        None if end is None else end if isinstance(end, str) else _number(end) for end in (bounds.min, bounds.max)
    )
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"from {low} to {high}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
