"""The items that figures count: each judgement once, its pair in the recipe's order, with its verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alpaqual.errors import StageError
from alpaqual.evaluation.values import Judgement, Outcome, Rule
from alpaqual.evaluation.verdicts import Decision, decide, turn
from alpaqual.values import Vote

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """A judgement, its verdicts by each rule, and the one by the recipe's own rule."""

    judgement: Judgement
    decision: Decision
    outcome: Outcome | None

    @property
    def pair(self) -> Pair:
        """Both models, in the recipe's order."""
        return self.judgement.a, self.judgement.b


def items_of(judgements: Iterable[Judgement], rule: Rule, pairs: Sequence[Pair] = ()) -> list[Item]:
    """Return an item for each judgement of these pairs, turned to their order; without pairs, to the order seen first.

    A judgement that comes again with the same votes counts once.

    Raises:
        StageError: an item has two judgements of one judge that differ.
    """
    given = bool(pairs)
    known = {frozenset(pair): pair for pair in pairs}
    seen: dict[tuple[Pair, str, str, str], Judgement] = {}
    for judgement in judgements:
        both = frozenset((judgement.a, judgement.b))
        if given and both not in known:
            continue
        pair = known.setdefault(both, (judgement.a, judgement.b))
        turned = judgement if judgement.a == pair[0] else turn(judgement)
        earlier = seen.setdefault((pair, turned.test_set, turned.judge, turned.id), turned)
        if earlier is not turned and _said(earlier) != _said(turned):
            raise StageError(
                f"judge '{turned.judge}' has two judgements of {pair[0]} against {pair[1]} on item '{turned.id}' of "
                f"'{turned.test_set}', and they differ: keep one of them, or give the items ids of their own"
            )
    return [_item(each, rule) for each in seen.values()]


def _item(judgement: Judgement, rule: Rule) -> Item:
    decision = decide(judgement)
    return Item(judgement, decision, decision.outcome(rule))


def _said(judgement: Judgement) -> list[tuple[str | None, tuple[float, ...]]]:
    votes: tuple[Vote, Vote] = judgement.a_first, judgement.b_first
    return [(vote.winner, vote.scores) for vote in votes]
