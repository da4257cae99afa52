"""The three rules over both orders, what is unjudged, and judges that rate answers one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from said import judgement, vote

from alpaqual.evaluation.values import Judgement
from alpaqual.evaluation.verdicts import decide, rules_of, turn, unjudged_reason, verdict, votes_of_ratings
from alpaqual.values import Vote

PAPER = {
    "win": [("1", "2"), ("1", "="), ("=", "2")],
    "tie": [("=", "="), ("1", "1"), ("2", "2")],
    "lose": [("2", "1"), ("2", "="), ("=", "1")],
}
"""Section 3.3 of the paper; in the order b, a the first answer is b's."""


@pytest.mark.parametrize(("outcome", "votes"), [(name, votes) for name, each in PAPER.items() for votes in each])
def test_papers_rule(outcome: str, votes: tuple[str, str]) -> None:
    assert verdict(judgement(*votes), "paper") == outcome


@pytest.mark.parametrize("votes", list(product("12=", repeat=2)))
def test_fastchat_wants_both_orders_to_agree(votes: tuple[str, str]) -> None:
    expected = {("1", "2"): "win", ("2", "1"): "lose"}.get(votes, "tie")
    assert verdict(judgement(*votes), "fastchat") == expected


def scored(a_first: tuple[float, float], b_first: tuple[float, float]) -> Judgement:
    def of(scores: tuple[float, float]) -> Vote:
        return Vote("first" if scores[0] > scores[1] else "second" if scores[0] < scores[1] else "tie", scores)

    return Judgement("a", "b", "t", "1", "j", of(a_first), of(b_first))


@pytest.mark.parametrize(
    ("a_first", "b_first", "paper", "mean"),
    [
        ((9, 5), (7, 6), "tie", "win"),  # a by 4, then b by 1: one win each, a higher mean
        ((8, 7), (8, 7), "tie", "tie"),
        ((5, 9), (6, 7), "tie", "lose"),
        ((8.1, 7.7), (7.7, 7.3), "tie", "tie"),  # equal sums whose last binary digits differ
        ((7, 7), (6, 8), "win", "win"),
    ],
)
def test_mean_scores_may_decide_otherwise(
    a_first: tuple[float, float], b_first: tuple[float, float], paper: str, mean: str
) -> None:
    both = scored(a_first, b_first)
    assert (verdict(both, "paper"), verdict(both, "mean_score")) == (paper, mean)


def test_scores_are_those_of_the_model_in_either_position() -> None:
    assert decide(scored((9, 5), (7, 6))).scores == (7.5, 6)


@pytest.mark.parametrize("votes", ["?1", "1?", "??", "-1", "1-", "--"])
@pytest.mark.parametrize("rule", ["paper", "fastchat", "mean_score"])
def test_a_missing_vote_leaves_the_item_unjudged(votes: str, rule: str) -> None:
    one = judgement(*votes)
    assert verdict(one, rule) is None  # type: ignore[arg-type]
    assert unjudged_reason(one, rule) in ("no number", "no reply", "no scores")  # type: ignore[arg-type]


def test_a_judge_without_scores_has_no_mean_score() -> None:
    assert unjudged_reason(judgement("1", "2"), "mean_score") == "no scores"
    assert rules_of("paper", have_scores=False) == ["paper", "fastchat"]
    assert rules_of("fastchat", have_scores=True) == ["fastchat", "paper", "mean_score"]
    assert rules_of("mean_score", have_scores=False) == ["mean_score", "paper", "fastchat"]


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ("1-", "win"),
        ("2-", "lose"),
        ("=-", "tie"),
        ("-1", "lose"),
        ("-2", "win"),
        ("-=", "tie"),
        ("?-", None),
        ("--", None),
    ],
)
def test_one_order_is_its_vote(votes: str, outcome: str | None) -> None:
    one = judgement(*votes, one_order=True)
    assert [verdict(one, rule) for rule in ("paper", "fastchat")] == [outcome, outcome]


@pytest.mark.parametrize("votes", list(product("12=?", repeat=2)))
@pytest.mark.parametrize("rule", ["paper", "fastchat"])
def test_the_turned_pair_has_the_opposite_verdict(votes: tuple[str, str], rule: str) -> None:
    one = judgement(*votes, text_a="long", text_b="s")
    other = turn(one)
    assert (other.a, other.b, other.text_a, other.text_b) == ("b", "a", "s", "long")
    opposite = {"win": "lose", "lose": "win", "tie": "tie", None: None}
    assert verdict(other, rule) == opposite[verdict(one, rule)]  # type: ignore[arg-type]
    assert turn(other) == one


@pytest.mark.parametrize(("a", "b", "outcome"), [(8, 6, "win"), (6, 8, "lose"), (7, 7, "tie")])
def test_ratings_of_single_answers_become_votes(a: float, b: float, outcome: str) -> None:
    a_first, b_first = votes_of_ratings(Vote(None, (a,), reply=f"{a}"), Vote(None, (b,), reply=f"{b}"))
    one = replace(judgement("-"), a_first=a_first, b_first=b_first)
    assert verdict(one, "paper") == verdict(one, "fastchat") == verdict(one, "mean_score") == outcome
    assert decide(one).scores == (a, b)


def test_a_missing_rating_leaves_the_item_unjudged() -> None:
    for ratings in ((vote("?"), Vote(None, (7.0,))), (Vote(None, (7.0,)), vote("?"))):
        a_first, b_first = votes_of_ratings(*ratings)
        one = replace(judgement("-"), a_first=a_first, b_first=b_first)
        assert (verdict(one, "paper"), unjudged_reason(one, "paper")) == (None, "no number")
