"""How far a judge can be trusted: agreement of its two orders, of several judges, and its preferences by position and length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from alpaqual.evaluation.length_preference import LengthPreference
from alpaqual.evaluation.statistics import two_sided
from alpaqual.evaluation.values import Judgement
from alpaqual.evaluation.verdicts import asked_votes, side

LEAST_KAPPA = 0.4
"""Below this, the two orders of a judge agree too little. Published logs of both orders have 0.59 for GPT-4, 0.04 for GPT-3.5."""
LOPSIDED_AGREEMENT = 0.9
"""From this agreement on, a low kappa is no fault: where one model nearly always wins, chance alone agrees as often."""
POSITION_LIMIT = 0.6
"""A position that wins more than this share of the votes that name a winner is preferred. GPT-4 has 0.50 in those logs, GPT-3.5 0.80."""
LENGTH_LIMIT = 0.75
"""A longer answer that wins this share of the decided verdicts is preferred, each model giving it equally often.

GPT-4 has about 0.70 in those logs.
"""
UNREAD_LIMIT = 0.05
"""More unread replies than this share are too many."""
SIGNIFICANT = 0.01
"""A preference counts where the p-value of its test is below this."""
FEWEST_DECIDED = 10
"""From this number of verdicts on, a judge that decides none of them is flagged."""

_Label = TypeVar("_Label", int, str)


@dataclass(frozen=True, slots=True)
class Concord:
    """Agreement of two ratings of the same `n` items; `kappa` is Cohen's."""

    n: int
    agreement: float | None = None
    kappa: float | None = None


def concord(pairs: Iterable[tuple[_Label, _Label]]) -> Concord:
    """Return the agreement and Cohen's kappa of two ratings of each item.

    (agreement - chance) / (1 - chance), chance from the shares of each label. Two ratings that both use one and the same label alone
    agree on everything, and their kappa is 1.
    """
    cells = Counter(pairs)
    items = sum(cells.values())
    if not items:
        return Concord(0)
    agreement = sum(count for (left, right), count in cells.items() if left == right) / items
    first: Counter[_Label] = Counter()
    second: Counter[_Label] = Counter()
    for (left, right), count in cells.items():
        first[left] += count
        second[right] += count
    by_chance = sum(first[label] * second[label] for label in first)
    whole = items * items
    kappa = (agreement - by_chance / whole) / (1 - by_chance / whole) if by_chance < whole else 1.0
    return Concord(items, agreement, kappa)


def orders_concord(judgements: Iterable[Judgement]) -> Concord:
    """Return how far the votes of both orders agree on `a`, a tie or `b`, over the items with a readable vote in each order."""
    return concord((side(each.a_first, True), side(each.b_first, False)) for each in _both(judgements))


def position_votes(judgements: Iterable[Judgement]) -> tuple[int, int]:
    """Return the votes for the answer in the first and in the second position, of items with a readable vote in each order."""
    votes = Counter(vote.winner for each in _both(judgements) for vote in (each.a_first, each.b_first))
    return votes["first"], votes["second"]


def unread_votes(judgements: Iterable[Judgement]) -> tuple[int, int]:
    """Return the number of votes that verdicts need of a judge that was asked, and of those that name no winner."""
    votes = unread = 0
    for judgement in judgements:
        for vote, _ in asked_votes(judgement) if judgement.asked else ():
            votes += 1
            unread += vote.winner is None
    return votes, unread


@dataclass(frozen=True, slots=True)
class Health:
    """What is counted of one judge; `orders` has no items for a judge that rates answers one by one or has one order."""

    orders: Concord
    positions: tuple[int, int]
    lengths: LengthPreference
    votes: int
    unread: int
    verdicts: int
    ties: int


def flags(health: Health) -> list[str]:
    """Return what is wrong with a judge, one sentence each; empty where nothing is."""
    return [
        *_order_flags(health.orders),
        *_position_flags(*health.positions),
        *_length_flags(health.lengths),
        *_reply_flags(health),
    ]


def share(part: int, other: int) -> float | None:
    """Return part / (part + other); None of nothing."""
    return part / (part + other) if part + other else None


def _order_flags(orders: Concord) -> Sequence[str]:
    if orders.kappa is None or orders.agreement is None or orders.kappa >= LEAST_KAPPA:
        return []
    if orders.agreement >= LOPSIDED_AGREEMENT:
        return []
    return [
        f"both orders agree on {_percent(orders.agreement)} of {orders.n:,} items, "
        f"kappa {orders.kappa:.2f} (limit {LEAST_KAPPA})"
    ]


def _position_flags(first: int, second: int) -> Sequence[str]:
    rate = share(max(first, second), min(first, second))
    if rate is None or rate <= POSITION_LIMIT or two_sided(first, second) >= SIGNIFICANT:
        return []
    name = "first" if first > second else "second"
    return [
        f"it prefers the {name} answer: {_percent(rate)} of {first + second:,} votes that name a winner (limit 60%)"
    ]


def _length_flags(found: LengthPreference) -> Sequence[str]:
    rate = share(found.longer, found.shorter)
    preferred = rate if found.balanced is None else found.balanced
    if rate is None or preferred is None or preferred < LENGTH_LIMIT or found.p_value >= SIGNIFICANT:
        return []
    won = f"the longer answer wins {_percent(rate)} of {found.longer + found.shorter:,} decided verdicts"
    if found.balanced is None:
        return [
            f"{won} (limit 75%), and one model gives nearly all longer answers: length and model cannot be separated"
        ]
    return [f"{won}, {_percent(found.balanced)} with each model longer equally often (limit 75%)"]


def _reply_flags(health: Health) -> Sequence[str]:
    found = []
    if health.unread > UNREAD_LIMIT * health.votes:
        rate = _percent(health.unread / health.votes)
        found.append(f"{health.unread:,} of {health.votes:,} votes could not be read, {rate} (limit 5%)")
    if health.verdicts >= FEWEST_DECIDED and health.ties == health.verdicts:
        found.append(f"each of its {health.verdicts:,} verdicts is a tie")
    return found


def _both(judgements: Iterable[Judgement]) -> Iterable[Judgement]:
    return (
        each
        for each in judgements
        if not each.one_order and each.a_first.winner is not None and each.b_first.winner is not None
    )


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f}%"
