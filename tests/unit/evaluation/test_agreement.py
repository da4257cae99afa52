"""Kappa against a definition by hand, preferences by position and length, and which judges are flagged."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from said import judgement, random_judge, verdicts
from scipy.stats import hypergeom, norm
from tiers import examples

from alpaqual.evaluation.agreement import concord, orders_concord, position_votes, unread_votes
from alpaqual.evaluation.figures import evaluation_result
from alpaqual.evaluation.length_preference import LengthPreference, LengthTable, length_preference, length_tables
from alpaqual.evaluation.values import Judgement
from alpaqual.evaluation.verdicts import verdict
from alpaqual.results.evaluation import JudgeResult


def health(judgements: list[Judgement]) -> JudgeResult:
    return evaluation_result(judgements, rule="paper").judges["judge"]


@settings(max_examples=examples(500), deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.sampled_from([-1, 0, 1])), min_size=1, max_size=200))
def test_kappa_is_cohens(pairs: list[tuple[int, int]]) -> None:
    table = np.zeros((3, 3))
    for left, right in pairs:
        table[left + 1, right + 1] += 1
    table /= table.sum()
    chance = float(table.sum(0) @ table.sum(1))
    found = concord(pairs)
    assert found.n == len(pairs)
    assert found.agreement == pytest.approx(np.trace(table))
    expected = (np.trace(table) - chance) / (1 - chance) if chance < 1 - 1e-12 else 1
    assert found.kappa == pytest.approx(expected, abs=1e-9)


def test_kappa_of_nothing_is_none_and_of_one_label_is_one() -> None:
    assert concord([]).kappa is None
    assert concord([(1, 1)] * 5).kappa == 1


def test_a_judge_that_prefers_the_first_answer_is_flagged() -> None:
    always = [judgement("1", "1", number) for number in range(40)]
    found = health(always)
    assert (found.order_kappa, found.order_agreement, found.first_position_rate) == (0, 0, 1)
    assert found.second_position_rate == 0
    assert [word in " / ".join(found.flags) for word in ("kappa 0.00", "first answer", "a tie")] == [True] * 3
    (pair,) = [each for each in evaluation_result(always, rule="paper").pairs if each.rule == "paper"]
    assert (pair.win, pair.tie, pair.lose, pair.shown) == (0, 40, 0, "not shown")


def test_a_judge_that_mostly_prefers_the_second_answer_is_flagged() -> None:
    draw = random.Random(1)
    found = health([judgement(*draw.choices("12=", [1, 4, 0.2], k=2), number) for number in range(400)])
    assert found.order_kappa is not None and abs(found.order_kappa) < 0.15
    assert found.second_position_rate == pytest.approx(0.8, abs=0.05)
    assert any("second answer" in flag for flag in found.flags)


def consistent(seed: int, items: int, agree: float, shares: tuple[float, float, float]) -> list[Judgement]:
    """A judge whose second order says the same as the first with this probability, else anything."""
    draw = random.Random(seed)
    made = []
    for number in range(items):
        first = draw.choices("1=2", shares)[0]
        same = {"1": "2", "2": "1", "=": "="}[first]
        made.append(judgement(first, same if draw.random() < agree else draw.choice("1=2"), number))
    return made


def test_a_consistent_judge_has_no_flag() -> None:
    found = health(consistent(1, 300, 0.75, (0.4, 0.3, 0.3)))
    assert (found.order_kappa or 0) > 0.5
    assert found.flags == []


def test_where_one_model_nearly_always_wins_a_low_kappa_is_no_fault() -> None:
    votes = [*verdicts(78, 0, 0), judgement("1", "=", 90), judgement("=", "2", 91)]
    found = health(votes)
    assert (found.order_kappa or 0) < 0.4
    assert found.flags == []


def test_a_random_judge_is_flagged_for_its_orders_alone() -> None:
    found = health(random_judge(4, 200))
    assert len(found.flags) == 1 and "kappa" in found.flags[0]


def longer_judge(seed: int, items: int, mean: float = 0) -> list[Judgement]:
    draw = random.Random(seed)
    made = []
    for number in range(items):
        a, b = max(1, round(draw.gauss(300 + mean, 120))), max(1, round(draw.gauss(300, 120)))
        votes = ("1", "2") if a > b else ("2", "1") if b > a else ("=", "=")
        made.append(judgement(*votes, number, text_a="x" * a, text_b="y" * b))
    return made


@pytest.mark.parametrize("mean", [0, 100, -200, 1000])
def test_a_judge_that_prefers_the_longer_answer_is_flagged(mean: float) -> None:
    for seed in range(4):
        found = health(longer_judge(seed, 40, mean))
        assert (found.order_kappa, found.longer_wins_rate) == (1, 1)
        assert any("longer answer wins 100%" in flag for flag in found.flags)
        low, high = found.length_controlled_interval or (math.nan, math.nan)
        assert 0 <= low <= 0.5 <= high <= 1
        assert 0 < (found.length_controlled_rate or 0) < 1


def test_only_decided_verdicts_of_answers_of_other_lengths_count_for_length() -> None:
    made = [
        judgement("1", "2", 1, text_a="long", text_b="s"),
        judgement("1", "2", 2, text_a="s", text_b="long"),
        judgement("=", "=", 3, text_a="long", text_b="s"),
        judgement("1", "2", 4, text_a="same", text_b="size"),
        judgement("1", "2", 5),
        judgement("1", "2", 6, text_a="", text_b="long"),
    ]
    assert length_tables([(each, verdict(each, "paper")) for each in made]) == [LengthTable(1, 0, 1, 0)]  # type: ignore[misc]


def test_a_better_model_that_writes_more_is_no_preference_for_length() -> None:
    """The first model wins nine in ten verdicts at any length, and has four in five of the longer answers."""
    found = length_preference([LengthTable(72, 8, 18, 2)])
    assert (found.longer, found.shorter) == (74, 26)
    assert found.balanced == pytest.approx(0.5) and found.p_value == pytest.approx(1)
    made = [
        judgement(*votes, number, text_a="x" * (3 if longer else 1), text_b="xx")
        for number, (votes, longer) in enumerate(
            [("12", True)] * 72 + [("21", True)] * 8 + [("12", False)] * 18 + [("21", False)] * 2
        )
    ]
    assert health(made).flags == []
    assert health(made).longer_wins_rate == pytest.approx(0.74)


@pytest.mark.parametrize("seed", range(8))
def test_the_preference_for_length_is_tested_as_mantel_and_haenszel_do(seed: int) -> None:
    draw = np.random.default_rng(seed)
    tables = [LengthTable(*map(int, draw.integers(3, 40, 4))) for _ in range(1 + seed % 4)]
    grids = [np.array([[t.longer_won, t.longer_lost], [t.shorter_won, t.shorter_lost]]) for t in tables]
    grids = [grid for grid in grids if min(grid.sum(1)) >= 5]
    error = sum(grid[0, 0] - hypergeom(grid.sum(), grid[0].sum(), grid[:, 0].sum()).mean() for grid in grids)
    variance = sum(hypergeom(grid.sum(), grid[0].sum(), grid[:, 0].sum()).var() for grid in grids)
    assert length_preference(tables).p_value == pytest.approx(2 * norm.sf(abs(error) / math.sqrt(variance)))


def test_where_one_model_gives_all_longer_answers_length_and_model_are_one() -> None:
    (flag,) = health([judgement("1", "2", each, text_a="longer", text_b="s") for each in range(30)]).flags
    assert "wins 100% of 30 decided verdicts" in flag and "cannot be separated" in flag
    found = health([judgement(*"12" if each % 2 else "21", each, text_a="longer", text_b="s") for each in range(30)])
    assert (found.flags, found.balanced_longer_rate, found.longer_wins_rate) == ([], None, 0.5)


def test_no_answers_give_no_preference() -> None:
    assert length_preference([]) == LengthPreference()


def test_unreadable_votes_are_counted_and_flagged() -> None:
    votes = [*verdicts(30, 0, 30), *(judgement("?", "?", 100 + number) for number in range(7))]
    assert unread_votes(votes) == (134, 14)
    found = health(votes)
    assert (found.n, found.votes, found.unread) == (67, 134, 14)
    assert found.flags == ["14 of 134 votes could not be read, 10% (limit 5%)"]
    few = health([*verdicts(40, 0, 40), judgement("?", "1", 100)])
    assert (few.unread, few.flags) == (1, [])


def test_position_counts_items_with_both_orders_alone() -> None:
    votes = [judgement("1", "?", 1), judgement("1", "2", 2), judgement("1", "-", 3, one_order=True)]
    assert position_votes(votes) == (1, 1)
    assert orders_concord(votes).n == 1
    found = health([judgement("1", "-", number, one_order=True) for number in range(50)])
    assert (found.order_kappa, found.first_position_rate, found.votes, found.flags) == (None, None, 50, [])


def test_a_judge_of_single_answers_has_no_orders() -> None:
    found = health(verdicts(30, 5, 20, single=True))
    assert (found.order_kappa, found.order_agreement, found.first_position_rate) == (None, None, None)
    assert found.win_rate == pytest.approx(32.5 / 55)


def test_two_judges_agree_by_kappa() -> None:
    one = verdicts(20, 10, 10)
    other = verdicts(15, 15, 10, judge="other")
    extra = [judgement("?", "1", 0, pair="cd", judge="other"), judgement("1", "2", 0, pair="cd")]
    (found,) = evaluation_result([*one, *other, *extra], rule="paper").agreements
    assert (found.judges, found.n, found.agreement) == (["judge", "other"], 40, 35 / 40)
    chance = (20 * 15 + 10 * 15 + 10 * 10) / 1600
    assert found.kappa == pytest.approx((35 / 40 - chance) / (1 - chance))
