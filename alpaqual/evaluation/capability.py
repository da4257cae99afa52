"""Capability: the scores of a model as a percentage of a reference model's, over the same items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alpaqual.evaluation.items import Item
from alpaqual.evaluation.statistics import NORMAL_95
from alpaqual.evaluation.values import FEW
from alpaqual.results.evaluation import Capability


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """Scores of one item: the model's and the reference's, and the names of the item's groups."""

    score: float
    reference: float
    groups: tuple[str, ...] = ()


def capabilities(items: Iterable[Item], references: Sequence[str]) -> dict[str, dict[str, Capability]]:
    """Return model -> reference -> capability, of the first judge with scores of both.

    Scores of two answers in one prompt count for that pair alone; ratings of answers one by one hold beside those of any other
    answer. An item's score is the mean over both orders.
    """
    tables = _tables(items, references) if references else {}
    found: dict[str, dict[str, Capability]] = {}
    for (_, model, reference), scored in tables.items():
        if reference not in found.get(model, {}):
            capability = capability_of(scored)
            if capability is not None:
                found.setdefault(model, {})[reference] = capability
    return found


def capability_of(items: Sequence[ScoredItem]) -> Capability | None:
    """Return 100 times the sum of scores over the reference's, with each group; None where the reference's sum is not above 0.

    Groups of one name count together, whether categories or skills.
    """
    whole = _percentage(items)
    if whole is None:
        return None
    members: dict[str, list[ScoredItem]] = {}
    for item in items:
        for name in dict.fromkeys(item.groups):
            members.setdefault(name, []).append(item)
    found = {name: _percentage(group) for name, group in members.items()}
    groups = {name: each for name, each in found.items() if each is not None}
    return Capability(percentage=whole.percentage, n=whole.n, interval=whole.interval, few=whole.few, groups=groups)


def _percentage(items: Sequence[ScoredItem]) -> Capability | None:
    reference = math.fsum(item.reference for item in items)
    if reference <= 0:
        return None
    ratio = math.fsum(item.score for item in items) / reference
    few = len(items) < FEW
    interval = None if few else _interval(items, ratio, reference)
    return Capability(percentage=100 * ratio, n=len(items), interval=interval, few=few)


def _interval(items: Sequence[ScoredItem], ratio: float, reference: float) -> list[float]:
    """The 95% interval of a quotient of sums (delta method): from the variance of score - ratio * reference."""
    n = len(items)
    variance = math.fsum((item.score - ratio * item.reference) ** 2 for item in items) / (n - 1)
    half = NORMAL_95 * math.sqrt(variance * n) / reference
    return [100 * (ratio - half), 100 * (ratio + half)]


_Key = tuple[str, str, str]
"""Judge, model, reference."""


def _tables(items: Iterable[Item], references: Sequence[str]) -> dict[_Key, list[ScoredItem]]:
    tables: dict[_Key, list[ScoredItem]] = {}
    single: dict[str, dict[str, dict[tuple[str, str], tuple[float, tuple[str, ...]]]]] = {}
    for item in items:
        judgement, scores = item.judgement, item.decision.scores
        if scores is None:
            continue
        groups = tuple(name for _, name in judgement.groups)
        sides = ((judgement.a, scores[0]), (judgement.b, scores[1]))
        if judgement.single:
            for model, score in sides:
                table = single.setdefault(judgement.judge, {}).setdefault(model, {})
                table[judgement.test_set, judgement.id] = score, groups
            continue
        for (model, score), (reference, other) in (sides, sides[::-1]):
            if reference in references:
                tables.setdefault((judgement.judge, model, reference), []).append(ScoredItem(score, other, groups))
    for judge, models in single.items():
        tables |= _single_tables(judge, models, references)
    return tables


def _single_tables(
    judge: str, models: Mapping[str, Mapping[tuple[str, str], tuple[float, tuple[str, ...]]]], references: Sequence[str]
) -> dict[_Key, list[ScoredItem]]:
    return {
        (judge, model, reference): [
            ScoredItem(score, models[reference][key][0], groups)
            for key, (score, groups) in table.items()
            if key in models[reference]
        ]
        for reference in references
        if reference in models
        for model, table in models.items()
        if model != reference
    }
