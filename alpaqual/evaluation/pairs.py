"""Verdicts of each pair of models, counted: whole, and by category and skill."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from alpaqual.evaluation.items import Item, Pair
from alpaqual.evaluation.statistics import Counts, detectable, interval, needed, sign_test, winning_score
from alpaqual.evaluation.values import FEW, Outcome, Rule, TrainedDataset
from alpaqual.evaluation.verdicts import Decision, rules_of
from alpaqual.results.evaluation import GroupVerdicts, PairResult


def pair_results(items: Sequence[Item], rule: Rule, controls: Mapping[Pair, str]) -> list[PairResult]:
    """Return the results of one pair, test set and judge, one a rule: the recipe's own first."""
    return _by_rule(items, rule, items[0].judgement.test_set, controls)


def overall_results(items: Sequence[Item], rule: Rule, controls: Mapping[Pair, str]) -> list[PairResult]:
    """Return the results of one pair and judge over all test sets together, one a rule: the recipe's own first."""
    return _by_rule(items, rule, None, controls)


def counts_of(outcomes: Iterable[Outcome | None]) -> Counts:
    """Return the number of wins, ties, losses and items without a verdict."""
    found = Counter(outcomes)
    return Counts(found["win"], found["tie"], found["lose"], found[None])


def judged_pairs(items: Iterable[Item]) -> list[Pair]:
    """Return the pairs that have items, each once."""
    return list(dict.fromkeys(item.pair for item in items))


def controls_of(pairs: Sequence[Pair], datasets: Mapping[str, TrainedDataset]) -> dict[Pair, str]:
    """Return the random control of the first model of each pair that is judged beside it: against it, or against its opponent."""
    judged = {frozenset(pair) for pair in pairs}
    found: dict[Pair, str] = {}
    for a, b in pairs:
        control = datasets[a].control if a in datasets else None
        if control is not None and ({a, control} in judged or {control, b} in judged):
            found[a, b] = control
    return found


def _by_rule(items: Sequence[Item], rule: Rule, test_set: str | None, controls: Mapping[Pair, str]) -> list[PairResult]:
    decisions = [item.decision for item in items]
    scores = [each.scores for each in decisions if each.scores is not None]
    means = _means(scores)
    categories, skills = _members(items, "category"), _members(items, "skill")
    results = []
    for each in rules_of(rule, have_scores=bool(scores)):
        counts = _counts(decisions, each)
        results.append(
            PairResult(
                a=items[0].judgement.a,
                b=items[0].judgement.b,
                test_set=test_set,
                judge=items[0].judgement.judge,
                rule=each,
                **verdict_counts(counts),
                **_conclusions(counts),
                unjudged_reasons=_reasons(decisions, each) if counts.unjudged else {},
                categories=_groups(categories, each),
                skills=_groups(skills, each),
                mean_a=means[0],
                mean_b=means[1],
                control=controls.get(items[0].pair),
            )
        )
    return results


def _counts(decisions: Iterable[Decision], rule: Rule) -> Counts:
    return counts_of(decision.outcome(rule) for decision in decisions)


def verdict_counts(counts: Counts) -> dict[str, Any]:
    """Return what a group of items has in the results: counts, winning score and interval."""
    bounds = interval(counts)
    return {
        "n": counts.n,
        "win": counts.win,
        "tie": counts.tie,
        "lose": counts.lose,
        "unjudged": counts.unjudged,
        "winning_score": winning_score(counts),
        "interval": list(bounds) if bounds is not None else None,
    }


def _conclusions(counts: Counts) -> dict[str, Any]:
    found = shown(counts)
    return {
        "p_value": sign_test(counts) if counts.n else None,
        "detectable": detectable(counts),
        "needed": needed(counts) if found == "not shown" else None,
        "shown": found,
    }


def shown(counts: Counts) -> Literal["helps", "hurts", "not shown"]:
    """Return whether the interval of the winning score is above 1, below 1, or holds it."""
    bounds = interval(counts)
    if bounds is None or bounds[0] <= 1 <= bounds[1]:
        return "not shown"
    return "helps" if bounds[0] > 1 else "hurts"


def _reasons(decisions: Iterable[Decision], rule: Rule) -> dict[str, int]:
    reasons = (decision.unjudged_reason(rule) for decision in decisions)
    return dict(Counter(reason for reason in reasons if reason is not None).most_common())


def _members(items: Iterable[Item], kind: str) -> dict[str, list[Decision]]:
    found: dict[str, list[Decision]] = {}
    for item in items:
        for each, name in item.judgement.groups:
            if each == kind:
                found.setdefault(name, []).append(item.decision)
    return found


def _groups(members: Mapping[str, Sequence[Decision]], rule: Rule) -> dict[str, GroupVerdicts]:
    counted = {name: _counts(decisions, rule) for name, decisions in members.items()}
    return {name: GroupVerdicts(**verdict_counts(each), few=each.n < FEW) for name, each in counted.items()}


def _means(scores: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    if not scores:
        return None, None
    return math.fsum(a for a, _ in scores) / len(scores), math.fsum(b for _, b in scores) / len(scores)
