"""Verdicts on model `a` of a pair, from the votes of a judge in both orders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from alpaqual.evaluation.values import NOT_ASKED, Judgement, Outcome, Rule
from alpaqual.values import Vote, Winner

NO_SCORES = "no scores"
"""Why `mean_score` gives no verdict on votes that name a winner and no scores."""

_OUTCOMES: dict[int, Outcome] = {1: "win", 0: "tie", -1: "lose"}
_SIDES: dict[Winner, int] = {"first": 1, "tie": 0, "second": -1}
_EQUAL = 1e-9
"""Sums of scores closer than this are equal: 8.1 + 7.3 and 7.7 + 7.7 differ in their last binary digit."""



def verdict(judgement: Judgement, rule: Rule) -> Outcome | None:
    """Return the verdict on `a` by a rule; None where the item is unjudged, and `unjudged_reason` says why."""
    if unjudged_reason(judgement, rule) is not None:
        return None
    asked = asked_votes(judgement)
    if rule == "mean_score":
        return _OUTCOMES[_sign(sum(_margin(vote, a_is_first) for vote, a_is_first in asked))]
    votes = [side(vote, a_is_first) for vote, a_is_first in asked]
    if rule == "fastchat":
        return _OUTCOMES[votes[0] if min(votes) == max(votes) else 0]
    return _OUTCOMES[_sign(sum(votes))]


def unjudged_reason(judgement: Judgement, rule: Rule) -> str | None:
    """Return why a judgement has no verdict by a rule, from its first vote that lacks one; None where it has a verdict."""
    for vote, _ in asked_votes(judgement):
        if vote.winner is None:
            return vote.reason or NOT_ASKED.reason
        if rule == "mean_score" and len(vote.scores) < 2:
            return NO_SCORES
    return None


def asked_votes(judgement: Judgement) -> list[tuple[Vote, bool]]:
    """Return the votes that a verdict needs, each with whether `a` came first: both, or those that a log of one order has."""
    votes = [(judgement.a_first, True), (judgement.b_first, False)]
    if judgement.one_order:
        return [(vote, a_is_first) for vote, a_is_first in votes if vote != NOT_ASKED] or votes[:1]
    return votes


def side(vote: Vote, a_is_first: bool) -> int:
    """Return 1 where a vote with a winner is for `a`, -1 for `b`, 0 for a tie."""
    if vote.winner is None:
        raise ValueError("the vote has no winner")
    return _SIDES[vote.winner] if a_is_first else -_SIDES[vote.winner]


def scores_of(judgement: Judgement) -> tuple[float, float] | None:
    """Return the mean scores of `a` and `b` over the votes; None where a vote that a verdict needs has no scores."""
    votes = asked_votes(judgement)
    if any(vote.winner is None or len(vote.scores) < 2 for vote, _ in votes):
        return None
    of_a = sum(vote.scores[0 if a_is_first else 1] for vote, a_is_first in votes)
    of_b = sum(vote.scores[1 if a_is_first else 0] for vote, a_is_first in votes)
    return of_a / len(votes), of_b / len(votes)


def votes_of_ratings(of_a: Vote, of_b: Vote) -> tuple[Vote, Vote]:
    """Return the votes of both orders, made of the ratings of two answers that a judge rated one by one.

    A rating is a vote with one score. Both votes lack a winner where a rating has no score; the reason is the rating's.
    """
    for rating in (of_a, of_b):
        if not rating.scores:
            missing = replace(rating, winner=None, reason=rating.reason or NOT_ASKED.reason)
            return missing, missing
    score_a, score_b = of_a.scores[0], of_b.scores[0]
    winner: Winner = ("second", "tie", "first")[_sign(score_a - score_b) + 1]
    reply = "\n\n".join(each for each in (of_a.reply, of_b.reply) if each)
    vote = Vote(winner, scores=(score_a, score_b), reply=reply)
    turned: Winner = ("first", "tie", "second")[_sign(score_a - score_b) + 1]
    return vote, replace(vote, winner=turned, scores=(score_b, score_a))


def turn(judgement: Judgement) -> Judgement:
    """Return the same judgement with `a` and `b` exchanged."""
    return replace(
        judgement,
        a=judgement.b,
        b=judgement.a,
        a_first=judgement.b_first,
        b_first=judgement.a_first,
        text_a=judgement.text_b,
        text_b=judgement.text_a,
    )


def rules_of(rule: Rule, have_scores: bool) -> Iterable[Rule]:
    """Return the rules that results show, the recipe's own first; `mean_score` of a judge that gives scores alone."""
    others: tuple[Rule, ...] = ("paper", "fastchat", "mean_score")
    return [rule, *(each for each in others if each != rule and (have_scores or each != "mean_score"))]


def _margin(vote: Vote, a_is_first: bool) -> float:
    margin = vote.scores[0] - vote.scores[1]
    return margin if a_is_first else -margin


def _sign(number: float) -> int:
    return 0 if abs(number) < _EQUAL else 1 if number > 0 else -1
