"""Counts what other thresholds would keep, at each stop of a slider."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from alpaqual.report.charts import Scores
from alpaqual.results.datasets import CategoryResult, CategoryScoreCount, DatasetResult
from alpaqual.results.graders import GraderResult, ScoreScale

_FINE = 200
"""A slider stops at every step of a scale with at most this many."""


@dataclass(frozen=True)
class Group:
    """Rows that a threshold selects from: all of a dataset's, or those of one category."""

    label: str
    eligible: int
    kept: tuple[int, ...]
    """Rows at or above each stop."""


@dataclass(frozen=True)
class WhatIf:
    """What other thresholds would keep, at each stop of a slider; the first group is the whole dataset."""

    grader: str
    stops: tuple[float, ...]
    start: int
    """The stop that is the recipe's own threshold."""
    groups: tuple[Group, ...]


def what_if(dataset: DatasetResult, graders: Mapping[str, GraderResult], most: int) -> WhatIf | None:
    """Count for a dataset with one threshold what others would keep, of all rows and of its `most` largest categories."""
    if len(dataset.threshold) != 1 or not dataset.scores:
        return None
    grader, threshold = next(iter(dataset.threshold.items()))
    if grader not in graders:
        return None
    scale = graders[grader].scale
    own = round(threshold, 6)
    observed = [round(each.score, 6) for each in dataset.scores]
    stops = tuple(sorted({own, *observed, *_grid(scale)}))
    start = stops.index(own)
    groups: list[Group] = []
    for name, counts, scores in [("all rows", dataset, dataset.scores), *_largest(dataset, most)]:
        kept = _kept(scores, stops)
        if scale.step is None:
            # A threshold may be inside a bin: at the recipe's own threshold the run counted the rows themselves.
            kept[start] = counts.at_threshold
        groups.append(Group(name, counts.eligible, tuple(kept)))
    return WhatIf(grader, stops, start, tuple(groups))


def _largest(dataset: DatasetResult, most: int) -> list[tuple[str, CategoryResult, Scores]]:
    """Return the largest categories, with their counted scores."""
    scores: dict[str, list[CategoryScoreCount]] = defaultdict(list)
    for each in dataset.category_scores:
        scores[each.category].append(each)
    largest = sorted(dataset.categories.items(), key=lambda each: (-each[1].eligible, each[0]))
    return [(name, counts, scores[name]) for name, counts in largest[:most]]


def _grid(scale: ScoreScale) -> list[float]:
    """Return the scores of a scale with steps; none where they are more than a slider has stops."""
    if scale.step is None or (scale.max - scale.min) / scale.step > _FINE:
        return []
    count = round((scale.max - scale.min) / scale.step)
    return [round(scale.min + index * scale.step, 6) for index in range(count + 1)]


def _kept(scores: Scores, stops: Sequence[float]) -> list[int]:
    """Return the rows at or above each stop."""
    counted = sorted((round(each.score, 6), each.rows) for each in scores)
    below = [0, *accumulate(rows for _, rows in counted)]
    values = [score for score, _ in counted]
    return [below[-1] - below[bisect_left(values, stop)] for stop in stops]
