"""What is measured of each judge over all its pairs, and the agreement of judges with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec

from alpaqual.evaluation.agreement import (
    Health,
    concord,
    flags,
    orders_concord,
    position_votes,
    share,
    unread_votes,
)
from alpaqual.evaluation.items import Item, Pair
from alpaqual.evaluation.length_control import length_controlled_rate
from alpaqual.evaluation.length_preference import length_preference, length_tables
from alpaqual.evaluation.pairs import counts_of
from alpaqual.evaluation.values import Judgement, Outcome
from alpaqual.results.evaluation import Agreement, JudgeResult


def judge_results(by_judge: Mapping[str, Sequence[Item]], known: Mapping[str, JudgeResult]) -> dict[str, JudgeResult]:
    """Return each judge's result: what is `known` of it, with its figures. A judge without items has what is known alone."""
    names = dict.fromkeys([*known, *by_judge])
    return {name: _judge_result(by_judge.get(name, ()), known.get(name, JudgeResult())) for name in names}


def agreements(by_judge: Mapping[str, Sequence[Item]]) -> list[Agreement]:
    """Return the agreement of each two judges over the items on which both have a verdict."""
    tables = {judge: {_key(item): item.outcome for item in items} for judge, items in by_judge.items()}
    found = []
    for first, second in combinations(tables, 2):
        both = [
            (outcome, other)
            for key, outcome in tables[first].items()
            if outcome is not None and (other := tables[second].get(key)) is not None
        ]
        agreed = concord(both)
        found.append(Agreement(judges=[first, second], n=agreed.n, agreement=agreed.agreement, kappa=agreed.kappa))
    return found


def _key(item: Item) -> tuple[Pair, str, str]:
    return item.pair, item.judgement.test_set, item.judgement.id


def _judge_result(items: Sequence[Item], known: JudgeResult) -> JudgeResult:
    judgements = [item.judgement for item in items]
    judged: list[tuple[Judgement, Outcome]] = [
        (item.judgement, item.outcome) for item in items if item.outcome is not None
    ]
    counts = counts_of(outcome for _, outcome in judged)
    votes, unread = unread_votes(judgements)
    paired = [judgement for judgement in judgements if not judgement.single]
    health = Health(
        orders=orders_concord(paired),
        positions=position_votes(paired),
        lengths=length_preference(length_tables(judged)),
        votes=votes,
        unread=unread,
        verdicts=counts.n,
        ties=counts.tie,
    )
    controlled = length_controlled_rate(judged)
    first, second = health.positions
    return msgspec.structs.replace(
        known,
        n=len(items),
        votes=votes,
        unread=unread,
        order_agreement=health.orders.agreement,
        order_kappa=health.orders.kappa,
        first_position_rate=share(first, second),
        second_position_rate=share(second, first),
        longer_wins_rate=share(health.lengths.longer, health.lengths.shorter),
        balanced_longer_rate=health.lengths.balanced,
        win_rate=(counts.win + counts.tie / 2) / counts.n if counts.n else None,
        length_controlled_rate=controlled.rate if controlled is not None else None,
        length_controlled_interval=list(controlled.interval) if controlled is not None else None,
        flags=flags(health),
    )
