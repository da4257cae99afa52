"""Counts the rows of a dataset by fate and category, and compares them with its quotas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import msgspec

from alpaqual.amounts import exact, rate
from alpaqual.plan.facts import FateRows, RowNearThreshold, SelectFacts
from alpaqual.recipe.measures import LIMITS
from alpaqual.recipe.model import Dataset, Quota
from alpaqual.results.datasets import (
    CategoryResult,
    CategoryScoreCount,
    DatasetResult,
    FateCounts,
    NearRow,
    QuotaResult,
    ScoreCount,
    Selection,
)
from alpaqual.values import Fate, State


def dataset_result(
    dataset: Dataset, facts: SelectFacts, categories: Iterable[str], like_rows: int | None
) -> DatasetResult:
    """Return what a run found of a dataset; `like_rows` is the size of the dataset that its sample copies."""
    overall = _Counts(facts.fates).selection()
    by_category: dict[str, list[FateRows]] = defaultdict(list)
    for row in facts.category_fates:
        by_category[row.category].append(row)
    names = dict.fromkeys((*categories, *dataset.quotas))
    selections = {name: _Counts(by_category[name]).selection() for name in names}
    quotas = [
        each
        for name, quota in dataset.quotas.items()
        for each in _quota(dataset, name, quota, selections[name], overall)
    ]
    sample = dataset.sample if dataset.sample is None or isinstance(dataset.sample, int) else like_rows or 0
    return DatasetResult(
        **overall,
        threshold=dict(dataset.threshold),
        from_=dataset.from_,
        quotas=quotas,
        shortfall=sum(quota.shortfall for quota in quotas) + max(0, (sample or 0) - overall.rows),
        categories={name: _category(name, each, overall, quotas) for name, each in selections.items()},
        sample=sample,
        scores=[ScoreCount(score=row.score, rows=row.rows) for row in facts.scores],
        category_scores=[
            CategoryScoreCount(category=row.category, score=row.score, rows=row.rows) for row in facts.category_scores
        ],
        near=[_near(row) for row in facts.near],
    )


def _near(row: RowNearThreshold) -> NearRow:
    # Tuples become lists, so that results that are built equal results that are read.
    return msgspec.convert(msgspec.to_builtins(row), NearRow)


class _Counts:
    """Rows by fate; of them, those that the threshold keeps by itself and those that quotas added."""

    def __init__(self, rows: Iterable[FateRows]) -> None:
        self.fates = dict.fromkeys(Fate, 0)
        self.above = 0
        self.added = 0
        for row in rows:
            self.fates[Fate(row.fate)] += row.rows
            self.above += row.above
            self.added += row.added

    def selection(self) -> Selection:
        kept = self.fates[Fate.KEPT]
        eligible = sum(self.fates.values()) - self.fates[Fate.REMOVED_BY_RULE]
        return Selection(
            rows=kept,
            keep_rate=rate(kept, eligible),
            eligible=eligible,
            at_threshold=self.above,
            below_threshold=self.added,
            fates=FateCounts(**{str(fate): rows for fate, rows in self.fates.items()}),
        )


def _category(name: str, counts: Selection, overall: Selection, quotas: Sequence[QuotaResult]) -> CategoryResult:
    shortfall = max((quota.shortfall for quota in quotas if quota.category == name), default=0)
    return CategoryResult(**counts, share=rate(counts.rows, overall.rows), shortfall=shortfall)


def _quota(
    dataset: Dataset, category: str, quota: Quota, counts: Selection, overall: Selection
) -> Iterator[QuotaResult]:
    """Compare each limit of a quota with the dataset as it ended."""
    for limit, asked, wanted in _wanted(quota, counts, overall):
        missing = max(0, wanted - counts.rows if limit.startswith("min") else counts.rows - wanted)
        strict = dataset.strict if quota.strict is None else quota.strict
        yield QuotaResult(
            category=category,
            limit=limit,
            asked=asked,
            wanted=wanted,
            rows=counts.rows,
            shortfall=missing,
            state=State.PASS if not missing else State.FAIL if strict else State.WARN,
        )


def _wanted(quota: Quota, counts: Selection, overall: Selection) -> Iterator[tuple[str, float | str, int]]:
    """Yield each limit of a quota, as the recipe has it and as a number of rows."""
    for limit in LIMITS:
        asked = getattr(quota, limit)
        if asked is None:
            continue
        if asked == "overall":
            least = Fraction(overall.at_threshold, overall.eligible or 1) * counts.eligible
        elif limit == "min_keep_rate":
            least = exact(asked) * counts.eligible
        elif limit.endswith("share"):
            least = exact(asked) * overall.rows
        else:
            least = Fraction(asked)
        yield limit, asked, int(-(-least // 1)) if limit.startswith("min") else int(least // 1)
