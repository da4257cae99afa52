"""Winning score over the size of the dataset: trained datasets against a common opponent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from alpaqual.evaluation.pairs import verdict_counts
from alpaqual.evaluation.statistics import Counts
from alpaqual.evaluation.values import TrainedDataset
from alpaqual.results.evaluation import PairResult, SizePoint


def size_points(results: Iterable[PairResult], rule: str, datasets: Mapping[str, TrainedDataset]) -> list[SizePoint]:
    """Return the points of each opponent that two or more trained datasets are compared with, by rows.

    `reaches` marks the smallest dataset whose interval reaches up to the winning score of the largest dataset that it is a part of:
    1 where that one is the opponent itself. Random controls have a point, and are not the smallest.
    """
    curves: dict[tuple[str | None, str, str], list[SizePoint]] = {}
    for result in results:
        if result.rule != rule or not result.n:
            continue
        counts = Counts(result.win, result.tie, result.lose)
        for model, against, of_model in ((result.a, result.b, counts), (result.b, result.a, counts.turned)):
            if model in datasets:
                point = _point(model, against, result, of_model, datasets[model].rows)
                curves.setdefault((result.test_set, result.judge, against), []).append(point)
    return [
        point
        for points in curves.values()
        if len(points) > 1
        for point in _marked(sorted(points, key=lambda each: (each.rows, each.model)), datasets)
    ]


def _point(model: str, against: str, result: PairResult, counts: Counts, rows: int) -> SizePoint:
    found = verdict_counts(counts)
    return SizePoint(
        model=model,
        against=against,
        test_set=result.test_set,
        judge=result.judge,
        rows=rows,
        winning_score=found["winning_score"],
        interval=found["interval"],
    )


def _marked(points: Sequence[SizePoint], datasets: Mapping[str, TrainedDataset]) -> list[SizePoint]:
    scores = {point.model: point.winning_score for point in points} | {points[0].against: 1.0}
    controls = {each.control for each in datasets.values()}
    for index, point in enumerate(points):
        larger = [each for each in _larger(point.model, datasets) if each in scores]
        if larger and point.model not in controls and point.interval[1] >= scores[larger[-1]]:
            return [*points[:index], msgspec.structs.replace(point, reaches=True), *points[index + 1 :]]
    return list(points)


def _larger(name: str, datasets: Mapping[str, TrainedDataset]) -> list[str]:
    """The datasets that a dataset is a part of, smallest first."""
    found: list[str] = []
    while name in datasets and (parent := datasets[name].part_of) is not None and parent not in found:
        found.append(parent)
        name = parent
    return found
