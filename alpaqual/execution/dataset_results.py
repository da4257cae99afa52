"""What became of the rows in a dataset, overall and in each category, and whether its quotas are met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from alpaqual.execution.limits import rate
from alpaqual.recipe.model import Dataset, Quota
from alpaqual.recipe.scales import exact
from alpaqual.values import Fate, State

Facts = Mapping[str, Sequence[Mapping[str, Any]]]
_LIMITS = ("min_keep_rate", "min_rows", "min_share", "max_rows", "max_share")


def dataset_result(dataset: Dataset, facts: Facts, categories: Iterable[str], like_rows: int | None) -> dict[str, Any]:
    """What `results.json` says of a dataset. `like_rows` is the size of the dataset whose size the sample takes."""
    overall = _Counts()
    by_category: dict[str, _Counts] = defaultdict(_Counts)
    for row in facts["fates"]:
        overall.add(row)
    for row in facts.get("category_fates", ()):
        by_category[row["category"]].add(row)
    result: dict[str, Any] = {
        **overall.shown(),
        "threshold": dict(dataset.threshold),
        "from": dataset.from_,
        "quotas": [],
        "shortfall": 0,
        "categories": {},
    }
    for name in dict.fromkeys((*categories, *dataset.quotas)):
        counts = by_category[name].shown()
        result["categories"][name] = {**counts, "share": rate(counts["rows"], result["rows"]), "shortfall": 0}
    _hold_quotas(dataset, result)
    if dataset.sample is not None:
        result["sample"] = dataset.sample if isinstance(dataset.sample, int) else like_rows or 0
        result["shortfall"] += max(0, result["sample"] - result["rows"])
    for table in ("scores", "category_scores", "near"):
        result[table] = [dict(row) for row in facts.get(table, ())]
    return result


class _Counts:
    """Rows by fate; of them, those that the threshold keeps by itself and those that quotas added."""

    def __init__(self) -> None:
        self.fates = dict.fromkeys(Fate, 0)
        self.above = 0
        self.added = 0

    def add(self, row: Mapping[str, Any]) -> None:
        self.fates[Fate(row["fate"])] += row["rows"]
        self.above += row["above"]
        self.added += row["added"]

    def shown(self) -> dict[str, Any]:
        kept = self.fates[Fate.KEPT]
        eligible = sum(self.fates.values()) - self.fates[Fate.REMOVED_BY_RULE]
        return {
            "rows": kept,
            "keep_rate": rate(kept, eligible),
            "eligible": eligible,
            "at_threshold": self.above,
            "below_threshold": self.added,
            "fates": {str(fate): rows for fate, rows in self.fates.items()},
        }


def _hold_quotas(dataset: Dataset, result: dict[str, Any]) -> None:
    """Count every quota against the dataset as it ended."""
    for category, quota in dataset.quotas.items():
        counts = result["categories"][category]
        for limit, asked, wanted in _wanted(quota, counts, result):
            missing = wanted - counts["rows"] if limit.startswith("min") else counts["rows"] - wanted
            missing = max(0, missing)
            strict = dataset.strict if quota.strict is None else quota.strict
            state = State.PASS if not missing else State.FAIL if strict else State.WARN
            held = {"category": category, "limit": limit, "asked": asked, "wanted": wanted, "rows": counts["rows"]}
            result["quotas"].append({**held, "shortfall": missing, "state": state})
            counts["shortfall"] = max(counts["shortfall"], missing)
    result["shortfall"] = sum(quota["shortfall"] for quota in result["quotas"])


def _wanted(
    quota: Quota, counts: Mapping[str, Any], result: Mapping[str, Any]
) -> Iterable[tuple[str, float | str, int]]:
    """Each limit of a quota with the rows that it asks for, counted against the dataset as it ended."""
    for limit in _LIMITS:
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
