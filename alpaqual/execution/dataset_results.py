"""Counts the rows of a dataset by fate and category, and compares them with its quotas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

import msgspec

from alpaqual.amounts import exact, rate
from alpaqual.plan.facts import FateRows, RowNearThreshold, SelectFacts, WriteFacts
from alpaqual.recipe.dataset_files import file_name
from alpaqual.recipe.measures import QuotaLimit
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
    SplitResult,
)
from alpaqual.values import Fate, State


def dataset_result(
    dataset: Dataset,
    limits: Mapping[str, Sequence[QuotaLimit]],
    facts: SelectFacts,
    categories: Iterable[str],
    like_rows: int | None,
) -> DatasetResult:
    """Return what a run found of a dataset.

    `limits` names those of each quota in the order in which they are met; `like_rows` is the size of the dataset that the
    sample copies.
    """
    everything = _Counts(facts.fates)
    overall = everything.selection()
    by_category: dict[str, list[FateRows]] = defaultdict(list)
    for row in facts.category_fates:
        by_category[row.category].append(row)
    names = dict.fromkeys((*categories, *dataset.quotas))
    counts = {name: _Counts(by_category[name]) for name in names}
    selections = {name: each.selection() for name, each in counts.items()}
    quotas = [
        each
        for name, quota in dataset.quotas.items()
        for each in _quota(dataset, name, quota, limits[name], counts[name], everything)
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
        push_to_hub=dataset.push_to_hub,
    )


def with_files(result: DatasetResult, name: str, dataset: Dataset, facts: WriteFacts) -> DatasetResult:
    """Add the file of a dataset, or its splits with their files."""
    if not facts.splits:
        return msgspec.structs.replace(result, file=f"datasets/{file_name(name, dataset.file)}")
    splits = {
        each.split: SplitResult(
            rows=each.rows,
            share=rate(each.rows, result.rows),
            file=f"datasets/{file_name(name, dataset.file, each.split)}",
        )
        for each in facts.splits
    }
    return msgspec.structs.replace(result, splits=splits)


def _near(row: RowNearThreshold) -> NearRow:
    # Tuples become lists, so that results that are built equal results that are read.
    return msgspec.convert(msgspec.to_builtins(row), NearRow)


class _Counts:
    """Rows by fate; of them, those that the threshold keeps by itself, that quotas added, and that a sample is drawn from."""

    def __init__(self, rows: Iterable[FateRows]) -> None:
        self.fates = dict.fromkeys(Fate, 0)
        self.above = 0
        self.added = 0
        self.drawn_from = 0
        for row in rows:
            self.fates[Fate(row.fate)] += row.rows
            self.above += row.above
            self.added += row.added
            self.drawn_from += row.drawn_from

    @property
    def eligible(self) -> int:
        return sum(self.fates.values()) - self.fates[Fate.REMOVED_BY_RULE]

    def selection(self) -> Selection:
        kept, eligible = self.fates[Fate.KEPT], self.eligible
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
    dataset: Dataset, category: str, quota: Quota, limits: Sequence[QuotaLimit], counts: _Counts, overall: _Counts
) -> Iterator[QuotaResult]:
    """Compare each limit of a quota with the dataset after all quotas, before a sample is drawn."""
    for limit, asked, wanted in _wanted(quota, limits, counts, overall):
        rows = counts.drawn_from
        missing = max(0, wanted - rows if limit.adds else rows - wanted)
        strict = dataset.strict if quota.strict is None else quota.strict
        yield QuotaResult(
            category=category,
            limit=limit,
            asked=asked,
            wanted=wanted,
            rows=rows,
            shortfall=missing,
            state=State.PASS if not missing else State.FAIL if strict else State.WARN,
        )


def _wanted(
    quota: Quota, limits: Sequence[QuotaLimit], counts: _Counts, overall: _Counts
) -> Iterator[tuple[QuotaLimit, float | str, int]]:
    """Yield each limit of a quota, as the recipe has it and as a number of rows."""
    for limit in limits:
        asked = getattr(quota, limit)
        if asked == "overall":
            least = Fraction(overall.above, overall.eligible or 1) * counts.eligible
        elif limit is QuotaLimit.MIN_KEEP_RATE:
            least = exact(asked) * counts.eligible
        elif limit.is_share:
            least = exact(asked) * overall.drawn_from
        else:
            least = Fraction(asked)
        yield limit, asked, int(-(-least // 1)) if limit.adds else int(least // 1)
