"""What another threshold would keep, counted at each stop of a slider."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from alpaqual.report.charts import Scores

_FINE = 200
"""Most stops of a slider that are made of a scale's steps."""


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


def what_if(dataset: Mapping[str, Any], graders: Mapping[str, Any], most: int) -> WhatIf | None:
    """What other thresholds would keep of a dataset with one threshold, for all its rows and its `most` largest categories."""
    if len(dataset["threshold"]) != 1 or not dataset.get("scores"):
        return None
    grader, threshold = next(iter(dataset["threshold"].items()))
    scale = graders[grader]["scale"]
    own = round(float(threshold), 6)
    observed = [round(float(each["score"]), 6) for each in dataset["scores"]]
    stops = tuple(sorted({own, *observed, *_grid(scale)}))
    start = stops.index(own)
    groups: list[Group] = []
    for name, counts, scores in [("all rows", dataset, dataset["scores"]), *_largest(dataset, most)]:
        kept = _kept(scores, stops)
        if not scale.get("step"):
            # Bins cannot be cut in two: at the recipe's own threshold the run counted the rows themselves.
            kept[start] = counts["at_threshold"]
        groups.append(Group(name, counts["eligible"], tuple(kept)))
    return WhatIf(grader, stops, start, tuple(groups))


def _largest(dataset: Mapping[str, Any], most: int) -> list[tuple[str, Mapping[str, Any], Scores]]:
    """The largest categories, with their counted scores."""
    scores: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in dataset["category_scores"]:
        scores[each["category"]].append(each)
    largest = sorted(dataset["categories"].items(), key=lambda each: (-each[1].get("eligible", 0), each[0]))
    return [(name, counts, scores[name]) for name, counts in largest[:most]]


def _grid(scale: Mapping[str, Any]) -> list[float]:
    """The scores that a scale with steps allows, unless they are too many to stop at."""
    step = scale.get("step")
    if not step:
        return []
    count = round((scale["max"] - scale["min"]) / step)
    return [round(scale["min"] + index * step, 6) for index in range(count + 1)] if count <= _FINE else []


def _kept(scores: Scores, stops: Sequence[float]) -> list[int]:
    """How many rows have at least the score of each stop."""
    counted = sorted((round(float(each["score"]), 6), int(each["rows"])) for each in scores)
    below = [0, *accumulate(rows for _, rows in counted)]
    values = [score for score, _ in counted]
    return [below[-1] - below[bisect_left(values, stop)] for stop in stops]
