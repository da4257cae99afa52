"""The figures of an evaluation: pairs, groups, ratings, sizes, capability, and a published log."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from said import judgement, verdicts, vote

from alpaqual.errors import StageError
from alpaqual.evaluation.figures import evaluation_result
from alpaqual.evaluation.reasons import evaluation_reasons
from alpaqual.evaluation.values import Judgement, TrainedDataset
from alpaqual.evaluation.verdicts import turn
from alpaqual.results.evaluation import EvaluationResult, JudgeResult, PairResult
from alpaqual.values import Vote


def own(result: EvaluationResult) -> list[PairResult]:
    return [each for each in result.pairs if each.rule == result.rule]


def test_one_entry_a_pair_test_set_judge_and_rule() -> None:
    judgements = [
        *verdicts(2, 1, 0, pair="cd", test_set="koala", judge="x"),
        *verdicts(2, 1, 1, pair="ab", test_set="koala"),
        *verdicts(1, 0, 3, pair="ab"),
        *verdicts(1, 0, 3, pair="ab", judge="x"),
    ]
    known = {"judge": JudgeResult(model="openai/m", calls_made=7), "x": JudgeResult()}
    found = evaluation_result(judgements, rule="fastchat", pairs=[("a", "b"), ("c", "d")], judges=known)
    assert [(each.a, each.b, each.test_set, each.judge, each.rule) for each in found.pairs] == [
        ("a", "b", "koala", "judge", "fastchat"),
        ("a", "b", "koala", "judge", "paper"),
        ("a", "b", "vicuna", "judge", "fastchat"),
        ("a", "b", "vicuna", "judge", "paper"),
        ("a", "b", "vicuna", "x", "fastchat"),
        ("a", "b", "vicuna", "x", "paper"),
        ("c", "d", "koala", "x", "fastchat"),
        ("c", "d", "koala", "x", "paper"),
    ]
    assert [(each.a, each.test_set, each.judge, each.n, each.win) for each in found.overall[::2]] == [
        ("a", None, "judge", 8, 3),
        ("a", None, "x", 4, 1),
        ("c", None, "x", 3, 2),
    ]
    assert (found.judges["judge"].model, found.judges["judge"].calls_made, found.judges["judge"].n) == (
        "openai/m",
        7,
        8,
    )


def test_pairs_are_turned_to_the_recipes_order_and_others_left_out() -> None:
    judgements = [*verdicts(3, 1, 1), *(turn(each) for each in verdicts(2, 0, 0, test_set="koala"))]
    (koala, vicuna) = sorted(own(evaluation_result(judgements, rule="paper")), key=lambda each: str(each.test_set))
    assert (koala.a, koala.win, vicuna.a, vicuna.win) == ("a", 2, "a", 3)
    (turned,) = [each for each in own(evaluation_result(judgements, rule="paper", pairs=[("b", "a")])) if each.n == 5]
    assert (turned.a, turned.b, turned.win, turned.lose) == ("b", "a", 1, 3)
    assert evaluation_result(judgements, rule="paper", pairs=[("a", "c")]).pairs == []


def test_an_item_counts_once_and_two_that_differ_are_an_error() -> None:
    one, other = judgement("1", "2", 1), judgement("2", "1", 1)
    (pair,) = own(evaluation_result([one, one, turn(one)], rule="paper"))
    assert (pair.n, pair.win) == (1, 1)
    with pytest.raises(StageError, match=r"two judgements of a against b on item '1' of 'vicuna'"):
        evaluation_result([one, other], rule="paper")


def test_unjudged_items_are_counted_apart_with_reasons() -> None:
    judgements = [
        *verdicts(10, 10, 5),
        *(judgement("?", "1", 100 + each) for each in range(7)),
        judgement("1", "-", 200),
    ]
    (pair,) = own(evaluation_result(judgements, rule="paper"))
    assert (pair.n, pair.win, pair.tie, pair.lose, pair.unjudged) == (25, 10, 10, 5, 8)
    assert pair.unjudged_reasons == {"no number": 7, "no reply": 1}
    (nothing,) = own(evaluation_result([judgement("?", "?")], rule="paper"))
    assert (nothing.n, nothing.unjudged, nothing.winning_score, nothing.p_value) == (0, 1, None, None)
    assert (nothing.interval, nothing.needed, nothing.detectable, nothing.shown) == (None, None, None, "not shown")


def test_categories_and_skills_and_which_have_few_items() -> None:
    judgements = [
        *verdicts(7, 2, 1, groups=(("category", "writing"), ("skill", "prose"))),
        *(each for each in verdicts(2, 1, 0, groups=(("category", "math"),), test_set="koala")),
    ]
    found = evaluation_result(judgements, rule="paper")
    whole = next(each for each in found.overall if each.rule == "paper")
    assert {name: (each.n, each.win, each.few) for name, each in whole.categories.items()} == {
        "writing": (10, 7, False),
        "math": (3, 2, True),
    }
    assert whole.skills["prose"].winning_score == pytest.approx(1.6)


@pytest.mark.parametrize(
    ("counts", "shown", "has_needed"),
    [
        ((40, 38, 2), "helps", False),
        ((2, 38, 40), "hurts", False),
        ((30, 30, 20), "not shown", True),
        ((3, 0, 0), "not shown", True),
    ],
)
def test_what_is_shown(counts: tuple[int, int, int], shown: str, has_needed: bool) -> None:
    (pair,) = own(evaluation_result(verdicts(*counts), rule="paper"))
    assert (pair.shown, pair.needed is not None) == (shown, has_needed)


def test_mean_scores_and_the_rule_of_means() -> None:
    scored = [
        Judgement("a", "b", "t", str(each), "j", Vote("first", (9.0, 5.0)), Vote("first", (7.0, 6.0)))
        for each in range(3)
    ]
    found = evaluation_result(scored, rule="paper")
    assert [(each.rule, each.win, each.tie, each.mean_a, each.mean_b) for each in found.pairs] == [
        ("paper", 0, 3, 7.5, 6.0),
        ("fastchat", 0, 3, 7.5, 6.0),
        ("mean_score", 3, 0, 7.5, 6.0),
    ]
    (pair, *_) = evaluation_result(verdicts(1, 1, 1), rule="mean_score").pairs
    assert (pair.n, pair.unjudged_reasons) == (0, {"no scores": 3})


DATASETS = {
    "full": TrainedDataset(52_002),
    "quality": TrainedDataset(9_229, part_of="full", control="random", needs_control=True),
    "random": TrainedDataset(9_229, part_of="full"),
    "quality-6k": TrainedDataset(6_000, part_of="quality", needs_control=True),
    "quality-3k": TrainedDataset(3_000, part_of="quality", needs_control=True),
}


def against(model: str, opponent: str, win: int, tie: int, lose: int) -> list[Judgement]:
    return [
        Judgement(model, opponent, each.test_set, each.id, each.judge, each.a_first, each.b_first)
        for each in verdicts(win, tie, lose)
    ]


def test_sizes_and_the_smallest_dataset_that_reaches_the_whole() -> None:
    judgements = [
        *against("quality", "full", 40, 30, 10),
        *against("random", "full", 20, 40, 20),
        *(turn(each) for each in against("quality-6k", "full", 22, 30, 28)),
        *against("quality-3k", "full", 5, 30, 45),
    ]
    found = evaluation_result(judgements, rule="paper", datasets=DATASETS)
    points = [each for each in found.sizes if each.test_set == "vicuna"]
    assert [(each.model, each.rows, each.reaches) for each in points] == [
        ("quality-3k", 3000, False),
        ("quality-6k", 6000, True),
        ("quality", 9229, False),
        ("random", 9229, False),
    ]
    assert points[1].winning_score == pytest.approx(1 - 6 / 80)
    assert {each.against for each in found.sizes} == {"full"}


def test_sizes_against_another_model_reach_the_wholes_score() -> None:
    judgements = [
        *against("quality", "gpt", 30, 20, 30),
        *against("quality-6k", "gpt", 28, 20, 32),
        *against("quality-3k", "gpt", 2, 20, 58),
    ]
    found = evaluation_result(judgements, rule="paper", datasets=DATASETS)
    assert [(each.model, each.reaches) for each in found.sizes if each.test_set is None] == [
        ("quality-3k", False),
        ("quality-6k", True),
        ("quality", False),
    ]


def test_a_dataset_without_its_random_control_warns() -> None:
    alone = evaluation_result(against("quality", "full", 4, 3, 2), rule="paper", datasets=DATASETS)
    (reason,) = [
        each for each in evaluation_reasons(alone, DATASETS) if "judge quality" not in each or "random" in each
    ]
    assert "quality is judged without a random dataset of its size" in reason
    assert "judge the pair quality, random too" in reason
    (without,) = evaluation_reasons(evaluation_result(against("full", "quality-3k", 4, 3, 2), rule="paper"), DATASETS)
    assert "sample: {like: quality-3k}" in without
    assert own(alone)[0].control is None


@pytest.mark.parametrize("beside", [("quality", "random"), ("random", "quality"), ("random", "full")])
def test_a_random_control_beside_it_is_enough(beside: tuple[str, str]) -> None:
    judgements = [*against("quality", "full", 4, 3, 2), *against(*beside, 4, 3, 2)]
    found = evaluation_result(judgements, rule="paper", datasets=DATASETS)
    assert evaluation_reasons(found, DATASETS) == []
    assert own(found)[0].control == "random"


def test_warnings_of_judges_and_unjudged_items() -> None:
    judgements = [judgement("1", "1", each) for each in range(20)] + [judgement("?", "1", 30)]
    reasons = evaluation_reasons(evaluation_result(judgements, rule="paper"), {})
    assert reasons[0].startswith("judge 'judge': both orders agree on 0% of 20 items, kappa 0.00")
    assert reasons[-1] == "a against b on vicuna, judge 'judge': 1 of 21 items unjudged: no number (1)"


def test_a_reference_without_scores_warns() -> None:
    found = evaluation_result(against("quality", "full", 4, 3, 2), rule="paper", references=["gpt"])
    (reason,) = evaluation_reasons(found, {}, ["gpt"])
    assert reason.startswith("no capability beside 'gpt'")
    assert evaluation_reasons(evaluation_result([], rule="paper", references=["gpt"]), {}, ["gpt"]) == []


def test_no_judgements_give_an_empty_result() -> None:
    found = evaluation_result([], rule="paper", pairs=[("a", "b")], judges={"judge": JudgeResult()})
    assert (found.pairs, found.overall, found.ratings, found.sizes) == ([], [], {}, [])
    assert found.judges["judge"].n == 0
    assert evaluation_reasons(found, {}) == []


def log(folder: Path) -> Iterator[Judgement]:
    """The published reviews: two scores on the first line of each reply, one file an order."""
    files = {name: json.loads((folder / f"vicuna_{name}_first.json").read_text()) for name in ("alpagasus2", "alpaca2")}
    for a_first, b_first in zip(files["alpagasus2"], files["alpaca2"], strict=True):
        assert a_first["question_id"] == b_first["question_id"]
        votes = [read(each["review"]) for each in (a_first, b_first)]
        texts = a_first["alpagasus2"], a_first["alpaca2"]
        yield Judgement(
            "alpagasus2", "alpaca2", "vicuna", a_first["question_id"], "gpt", *votes, text_a=texts[0], text_b=texts[1]
        )


def read(reply: str) -> Vote:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)[ ,]+(\d+(?:\.\d+)?)\s*", reply.strip().splitlines()[0])
    if found is None:
        return vote("?")
    first, second = float(found[1]), float(found[2])
    return Vote("first" if first > second else "second" if second > first else "tie", (first, second))


@pytest.mark.skipif("ALPAQUAL_DATA" not in os.environ, reason="needs ALPAQUAL_DATA")
def test_a_published_log_gives_its_published_figures() -> None:
    found = evaluation_result(log(Path(os.environ["ALPAQUAL_DATA"]) / "judge_log"), rule="paper")
    pair = found.pairs[0]
    assert (pair.win, pair.tie, pair.lose, pair.unjudged) == (40, 38, 2, 0)
    assert pair.winning_score == pytest.approx(1.475)
    assert pair.interval == pytest.approx([1.355, 1.595], abs=1e-3)
    judge = found.judges["gpt"]
    assert judge.order_kappa is not None and judge.longer_wins_rate is not None
