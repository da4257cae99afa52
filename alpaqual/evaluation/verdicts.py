"""Verdicts on model `a` of a pair, from the votes of a judge in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alpaqual.evaluation.values import NOT_ASKED, RULES, Judgement, Outcome, Rule
from alpaqual.values import Vote, Winner

NO_SCORES = "no scores"
"""Why `mean_score` gives no verdict on votes that name a winner and no scores."""

_OUTCOMES: dict[int, Outcome] = {1: "win", 0: "tie", -1: "lose"}
_SIDES: dict[Winner, int] = {"first": 1, "tie": 0, "second": -1}
_EQUAL = 1e-9
"""Means of scores closer than this are equal: 8.1 + 7.3 and 7.7 + 7.7 differ in their last binary digit."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdicts of one judgement by each rule, None where it is unjudged, and the mean scores of `a` and `b`.

    `reason` says why no rule gives a verdict; it is that of the first vote without a winner.
    """

    paper: Outcome | None = None
    fastchat: Outcome | None = None
    mean_score: Outcome | None = None
    scores: tuple[float, float] | None = None
    reason: str | None = None

    def outcome(self, rule: Rule) -> Outcome | None:
        """Return the verdict by a rule."""
        return self.paper if rule == "paper" else self.fastchat if rule == "fastchat" else self.mean_score

    def unjudged_reason(self, rule: Rule) -> str | None:
        """Return why there is no verdict by a rule; None where there is one."""
        return self.reason or (NO_SCORES if rule == "mean_score" and self.scores is None else None)


def decide(judgement: Judgement) -> Decision:
    """Return the verdicts of a judgement."""
    votes = asked_votes(judgement)
    for vote, _ in votes:
        if vote.winner is None:
            return Decision(reason=vote.reason or NOT_ASKED.reason)
    sides = [side(vote, a_is_first) for vote, a_is_first in votes]
    scores = _mean_scores(votes)
    return Decision(
        paper=_OUTCOMES[_sign(sum(sides))],
        fastchat=_OUTCOMES[sides[0] if sides[0] == sides[-1] else 0],
        mean_score=_OUTCOMES[_sign(scores[0] - scores[1])] if scores is not None else None,
        scores=scores,
    )


def verdict(judgement: Judgement, rule: Rule) -> Outcome | None:
    """Return the verdict on `a` by a rule; None where the item is unjudged, and `unjudged_reason` says why."""
    return decide(judgement).outcome(rule)


def unjudged_reason(judgement: Judgement, rule: Rule) -> str | None:
    """Return why a judgement has no verdict by a rule; None where it has one."""
    return decide(judgement).unjudged_reason(rule)


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


def rules_of(rule: Rule, have_scores: bool) -> list[Rule]:
    """Return the rules that results show, the recipe's own first; `mean_score` of a judge that gives scores alone."""
    return [rule, *(each for each in RULES if each != rule and (have_scores or each != "mean_score"))]


def _mean_scores(votes: Sequence[tuple[Vote, bool]]) -> tuple[float, float] | None:
    """The mean scores of `a` and `b`; None where a vote has none."""
    of_a = of_b = 0.0
    for vote, a_is_first in votes:
        if len(vote.scores) < 2:
            return None
        first, second = vote.scores[:2]
        of_a += first if a_is_first else second
        of_b += second if a_is_first else first
    return of_a / len(votes), of_b / len(votes)


def _sign(number: float) -> int:
    return 0 if abs(number) < _EQUAL else 1 if number > 0 else -1
