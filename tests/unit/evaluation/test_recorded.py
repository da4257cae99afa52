"""Recorded replies: both orders of an item become one judgement, and nothing is lost in silence."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.errors import RecipeError
from alpaqual.evaluation.recorded import Recorded
from alpaqual.evaluation.recorded import read_recorded as read_lines
from alpaqual.evaluation.values import Judgement
from alpaqual.evaluation.verdicts import verdict
from alpaqual.execution.recorded_judgements import readers

Line = dict[str, Any]


def line(item: Any, first: str, second: str, reply: str | None, **more: Any) -> Line:
    return {"pair": ["x", "y"], "test_set": "t", "id": item, "first": first, "second": second, "reply": reply, **more}


def read(*lines: Line | str, **options: Any) -> Recorded:
    texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
    return read_lines(texts, readers(options.get("prompt")), file="log.jsonl", **options)


def problems(*lines: Line | str, **options: Any) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read(*lines, **options)
    return [str(problem) for problem in caught.value.problems]


def only(*lines: Line | str, **options: Any) -> Judgement:
    (judgement,) = read(*lines, **options).judgements
    return judgement


def test_both_orders_become_one_judgement() -> None:
    found = only(
        line(7, "y", "x", "6 9", question="Q", first_answer="of y", second_answer="of x"),
        line(7, "x", "y", "8 7\nsince", category="c", skill="s", note="any"),
    )
    assert (found.a, found.b, found.test_set, found.id, found.judge) == ("x", "y", "t", "7", "replies")
    assert (found.a_first.scores, found.b_first.scores) == ((8, 7), (6, 9))
    assert (found.a_first.winner, found.b_first.winner) == ("first", "second")
    assert found.groups == (("category", "c"), ("skill", "s"))
    assert (found.question, found.text_a, found.text_b, found.one_order, found.single) == (
        "Q",
        "of x",
        "of y",
        False,
        False,
    )


@given(st.integers(0, 10**6))
@settings(max_examples=examples(60), deadline=None)
def test_the_order_of_lines_changes_no_judgement(seed: int) -> None:
    choice = random.Random(seed)
    lines = [
        line(str(item), *sides, choice.choice(["8 7", "7 8", "8 8", "unclear", None]), judge=judge)
        for item in range(6)
        for sides in (("x", "y"), ("y", "x"))
        for judge in ("one", "two")
        if choice.random() < 0.9
    ]
    if not lines:
        return
    before = read(*lines, prompt="vicuna")
    choice.shuffle(lines)
    after = read(*lines, prompt="vicuna")
    assert {(each.judge, each.id): each for each in before.judgements} == {
        (each.judge, each.id): each for each in after.judgements
    }
    asked = Counter((each["judge"], each["id"]) for each in lines)
    assert {
        (each.judge, each.id): sum(vote.reason != "no reply" for vote in (each.a_first, each.b_first))
        for each in after.judgements
    } == {
        key: sum(1 for each in lines if (each["judge"], each["id"]) == key and each["reply"] is not None)
        for key in asked
    }


def test_an_order_that_is_not_there_leaves_the_item_unjudged() -> None:
    found = only(line("1", "x", "y", "8 7"))
    assert (found.b_first.winner, found.b_first.reason, found.one_order) == (None, "no reply", False)
    assert verdict(found, "paper") is None
    alone = only(line("1", "y", "x", "8 7"), one_order=True)
    assert (alone.one_order, verdict(alone, "paper")) == (True, "lose")
    both = read(
        line("1", "x", "y", "8 7"), line("1", "y", "x", "7 8"), line("2", "x", "y", "8 7"), one_order=True
    ).judgements
    assert [each.one_order for each in both] == [False, True]


def test_categories_may_be_numbers() -> None:
    found = only(line("1", "x", "y", "8 7", category=3, skill=1.5), line("1", "y", "x", "7 8", category=3))
    assert found.groups == (("category", "3"), ("skill", "1.5"))


def test_a_reply_that_says_nothing_has_its_reason() -> None:
    found = only(line("1", "x", "y", "Both are good."), line("1", "y", "x", None))
    assert (found.a_first.reason, found.b_first.reason) == ("no two scores", "no reply")
    cut = only(line("1", "x", "y", "8", finish_reason="length"), line("1", "y", "x", ""), prompt="vicuna")
    assert (cut.a_first.reason, cut.b_first.reason) == ("cut", "empty reply")


def test_how_replies_are_read_is_found_for_each_judge() -> None:
    found = read(
        line("1", "x", "y", "8 7", judge="scores"),
        line("1", "y", "x", "no idea", judge="scores"),
        line("1", "x", "y", "A is longer.\n[[B]]", judge="letters"),
        line("1", "y", "x", "[[A]]", judge="letters"),
    )
    assert found.kinds == {"scores": "vicuna", "letters": "mt_bench"}
    assert [each.a_first.winner for each in found.judgements] == ["first", "second"]
    assert read(line("1", "x", "y", "[[A]]"), prompt="vicuna").judgements[0].a_first.reason == "no two scores"


def test_pairs_are_turned_as_the_recipe_has_them() -> None:
    lines = [line("1", "x", "y", "8 7"), line("1", "y", "x", "7 8"), line("2", "y", "x", "7 8") | {"pair": ["y", "x"]}]
    assert [(each.a, each.b) for each in read(*lines).judgements] == [("x", "y"), ("x", "y")]
    turned = read(*lines, pairs=[["y", "x"]]).judgements
    assert [(each.a, each.a_first.scores) for each in turned] == [("y", (7, 8)), ("y", (7, 8))]
    other = line("1", "x", "z", "8 7") | {"pair": ["x", "z"]}
    assert [each.b for each in read(*lines, other, pairs=[["x", "z"]]).judgements] == ["z"]
    assert problems(*lines, pairs=[["x", "q"]]) == ["log.jsonl: no reply about the pair x, q; there are: x, y"]


def test_ratings_of_single_answers_are_compared_for_every_pair() -> None:
    def rated(model: str, item: str, score: int | None) -> Line:
        return {
            "model": model,
            "test_set": "t",
            "id": item,
            "reply": None if score is None else f"Rating: [[{score}]]",
            "answer": model * 3,
        }

    lines = [rated("x", "1", 8), rated("y", "1", 6), rated("z", "1", 8), rated("x", "2", None), rated("y", "2", 5)]
    found = read(*lines)
    shown = {(each.a, each.b, each.id): (verdict(each, "paper"), each.a_first.scores) for each in found.judgements}
    assert shown == {
        ("x", "y", "1"): ("win", (8, 6)),
        ("x", "z", "1"): ("tie", (8, 8)),
        ("y", "z", "1"): ("lose", (6, 8)),
        ("x", "y", "2"): (None, ()),
        ("x", "z", "2"): (None, ()),
        ("y", "z", "2"): (None, ()),
    }
    assert all(each.single for each in found.judgements)
    assert (found.judgements[0].text_a, found.judgements[0].text_b) == ("xxx", "yyy")
    assert [(each.a, each.b) for each in read(*lines, pairs=[["y", "x"]]).judgements] == [("y", "x"), ("y", "x")]
    assert problems(*lines, pairs=[["x", "q"]]) == ["log.jsonl: no reply about the pair x, q; there are: x; y; z"]


def test_a_judge_may_compare_and_rate_in_one_file() -> None:
    rated = [
        {"model": model, "test_set": "t", "id": "1", "reply": f"Rating: [[{score}]]", "judge": "gpt-4"}
        for model, score in (("x", 3), ("y", 9), ("z", 5))
    ]
    compared = [line("1", "x", "y", "[[A]]", judge="gpt-4"), line("1", "y", "x", "[[B]]", judge="gpt-4")]
    found = read(*compared, *rated)
    assert found.kinds == {"gpt-4": "mt_bench", "gpt-4, single answers": "single"}
    assert [(each.judge, each.a, each.b, verdict(each, "paper")) for each in found.judgements] == [
        ("gpt-4", "x", "y", "win"),
        ("gpt-4, single answers", "x", "y", "lose"),
        ("gpt-4, single answers", "x", "z", "lose"),
        ("gpt-4, single answers", "y", "z", "win"),
    ]
    assert len(read(*compared, *rated, pairs=[["y", "z"]]).judgements) == 1


def test_a_repeated_line_counts_once_and_two_replies_are_refused() -> None:
    found = read(line("1", "x", "y", "8 7"), "", line(1, "x", "y", "8 7"), line("1", "y", "x", "7 8"))
    assert (len(found.judgements), found.replies, found.repeated) == (1, 2, (3,))
    assert problems(line("1", "x", "y", "8 7"), line("1", "x", "y", "7 8")) == [
        "log.jsonl:2:1: 'x' before 'y' for item '1' of 't' has another reply in line 1: keep one of the two"
    ]
    assert read(line("1", "x", "y", "8 7", judge="p"), line("1", "x", "y", "7 8", judge="q")).replies == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("{", "not JSON"),
        ('{"pair": ["x", "y"], "test_set": "t"', "not JSON"),
        ("[1]", "a line is an object"),
        ("8 7", "not JSON"),
        (line("1", "x", "z", "8 7"), "'first' and 'second' are 'x' and 'z', the pair is 'x' and 'y'"),
        (line("1", "x", "x", "8 7"), "'first' and 'second' are 'x' and 'x', the pair is 'x' and 'y'"),
        (line("1", "x", "y", "8 7") | {"pair": ["x", "x"]}, "'pair' names 'x' twice"),
        (line("1", "x", "y", "8 7") | {"pair": "x"}, "'pair' must be a list of two names"),
        (line("1", "x", "y", "8 7") | {"pair": ["x", "y", "z"]}, "'pair' must be a list of two names"),
        (line(None, "x", "y", "8 7"), "'id' must be a text or a whole number"),
        (line(1.5, "x", "y", "8 7"), "'id' must be a text or a whole number"),
        (line("1", "x", "y", "8 7", category=["a"]), "'category' must be a text"),
        (line("1", "x", "y", "8 7", skill=True), "'skill' must be a text"),
        (line("1", "x", "y", 8), "'reply' must be a text, or null where no reply came"),  # type: ignore[arg-type]
        ({"pair": ["x", "y"], "id": 1, "first": "x", "second": "y"}, "'test_set' is missing"),
        ({"pair": ["x", "y"], "test_set": "t", "id": 1, "first": "x", "second": "y"}, "'reply' is missing"),
        ({"test_set": "t", "id": 1, "reply": "8 7"}, "'pair' is missing"),
        (
            {"pair": ["x", "y"], "test_set": "t", "id": 1, "reply": "8 7"},
            "'first' and 'second' must be the two names of the pair",
        ),
    ],
)
def test_every_line_that_is_no_record_is_named(wrong: Line | str, message: str) -> None:
    found = problems(line("0", "x", "y", "8 7"), wrong, "nothing")
    assert found[0].startswith("log.jsonl:2:")
    assert any(message in each for each in found[:-1])
    assert found[-1].startswith("log.jsonl:3:1: not JSON")


def test_an_empty_file_and_many_problems() -> None:
    assert problems("", "  ") == ["log.jsonl: the file has no replies"]
    found = problems(*["x"] * 100)
    assert len(found) == 21
    assert "and 80 more problems" in found[-1]


@pytest.mark.skipif(not os.environ.get("ALPAQUAL_DATA"), reason="needs ALPAQUAL_DATA, the folder of the real data")
def test_the_real_log_gives_the_published_result() -> None:
    lines = []
    folder = Path(os.environ["ALPAQUAL_DATA"]) / "judge_log"
    for first, second in (("alpagasus2", "alpaca2"), ("alpaca2", "alpagasus2")):
        for record in json.loads((folder / f"vicuna_{first}_first.json").read_text()):
            lines.append(
                {
                    "pair": ["alpagasus2", "alpaca2"],
                    "test_set": "vicuna",
                    "id": record["question_id"],
                    "reply": record["review"],
                }
                | {"first": first, "second": second}
            )
    counts = Counter(verdict(each, "paper") for each in read(*lines).judgements)
    assert counts == {"win": 40, "tie": 38, "lose": 2}
