"""The figures of an evaluation, made of what the judges said."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from alpaqual.evaluation.capability import capabilities
from alpaqual.evaluation.items import Item, Pair, items_of
from alpaqual.evaluation.judge_results import agreements, judge_results
from alpaqual.evaluation.length_control import CREDIT
from alpaqual.evaluation.pairs import controls_of, judged_pairs, overall_results, pair_results
from alpaqual.evaluation.ratings import bradley_terry
from alpaqual.evaluation.sizes import size_points
from alpaqual.evaluation.values import Judgement, Rule, TrainedDataset
from alpaqual.results.evaluation import EvaluationResult, JudgeResult, Rating

_Key = TypeVar("_Key", bound=Hashable)


def evaluation_result(
    judgements: Iterable[Judgement],
    *,
    rule: Rule,
    pairs: Sequence[Pair] = (),
    judges: Mapping[str, JudgeResult] | None = None,
    datasets: Mapping[str, TrainedDataset] | None = None,
    references: Sequence[str] = (),
) -> EvaluationResult:
    """Return the verdicts, judges' health, ratings, capability and sizes; answers and waiting stages are the caller's to add.

    Args:
        judgements: What judges said, in any order; of a pair in either direction.
        rule: The recipe's own rule, by which ratings, sizes and judges are measured.
        pairs: Pairs of the recipe, `a` first; others are left out. Empty: every pair, as it is seen first.
        judges: Model, prompt, calls and cost of each judge, in the order of the results.
        datasets: The trained datasets, by the name of the model that was trained on each.
        references: Reference models, of whose scores the other models' are a percentage.

    Raises:
        StageError: an item has two judgements of one judge that differ.
    """
    known = judges or {}
    items = _ordered(items_of(judgements, rule, pairs), pairs, known)
    controls = controls_of(judged_pairs(items), datasets or {})
    found = [
        result
        for group in _grouped(items, lambda item: (item.pair, item.judgement.test_set, item.judgement.judge)).values()
        for result in pair_results(group, rule, controls)
    ]
    overall = [
        result
        for group in _grouped(items, lambda item: (item.pair, item.judgement.judge)).values()
        for result in overall_results(group, rule, controls)
    ]
    by_judge = _grouped(items, lambda item: item.judgement.judge)
    return EvaluationResult(
        rule=rule,
        pairs=found,
        overall=overall,
        judges=judge_results(by_judge, known),
        agreements=agreements(by_judge),
        ratings=_ratings(items),
        capability=capabilities(items, references),
        sizes=size_points([*found, *overall], rule, datasets or {}),
    )


def _ordered(items: Iterable[Item], pairs: Sequence[Pair], judges: Iterable[str]) -> list[Item]:
    """The items by pair, test set and judge: pairs and judges in the order given, the rest as seen first."""
    items = list(items)
    pair_at = _places([*pairs, *(item.pair for item in items)])
    set_at = _places(item.judgement.test_set for item in items)
    judge_at = _places([*judges, *(item.judgement.judge for item in items)])
    return sorted(
        items, key=lambda item: (pair_at[item.pair], set_at[item.judgement.test_set], judge_at[item.judgement.judge])
    )


def _places(names: Iterable[_Key]) -> dict[_Key, int]:
    return {name: index for index, name in enumerate(dict.fromkeys(names))}


def _grouped(items: Iterable[Item], key: Callable[[Item], _Key]) -> dict[_Key, list[Item]]:
    found: dict[_Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def _ratings(items: Iterable[Item]) -> dict[str, Rating]:
    """Ratings of the models; an item that several judges decided counts once, with the mean of their verdicts."""
    credits: dict[tuple[Pair, str, str], list[float]] = {}
    for item in items:
        if item.outcome is not None:
            key = item.pair, item.judgement.test_set, item.judgement.id
            credits.setdefault(key, []).append(CREDIT[item.outcome])
    totals: dict[Pair, tuple[float, int]] = {}
    for (pair, _, _), each in credits.items():
        credit, count = totals.get(pair, (0.0, 0))
        totals[pair] = credit + sum(each) / len(each), count + 1
    return bradley_terry((a, b, credit, count) for (a, b), (credit, count) in totals.items())
