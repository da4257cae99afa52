"""Published logs, built in their real layouts, and the lines that they become."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.errors import RecipeError
from alpaqual.evaluation.log_records import LogFile
from alpaqual.evaluation.published_logs import ImportOptions, import_logs
from alpaqual.evaluation.verdicts import verdict
from alpaqual.execution.importing_judgements import ImportedJudgements, import_files

Record = dict[str, Any]
SCORES = st.sampled_from(["8", "7", "9", "8.5", "10", "1"])


def write(folder: Path, name: str, value: Any, *, lines: bool = False) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(each) + "\n" for each in value) if lines else json.dumps(value, indent=4)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def imported(*paths: Path, **options: Any) -> ImportedJudgements:
    questions = options.pop("questions", None)
    return import_files(paths, ImportOptions(**options), questions)


def lines_of(found: ImportedJudgements) -> list[Record]:
    return [json.loads(line) for line in found.text.split("\n") if line]


def outcomes(found: ImportedJudgements, rule: Any = "paper") -> Counter[str | None]:
    return Counter(verdict(each, rule) for each in found.recorded.judgements)


def refused(*paths: Path, **options: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        imported(*paths, **options)
    return str(caught.value)


def test_texts_may_have_any_line_separator(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\u0085d"
    record = {
        "text": text,
        "Answer1": text,
        "Answer2": text,
        "review": f"8 7\n{text}",
        "review_reverse": f"6 9\n{text}",
    }
    found = imported(write(tmp_path, "vicuna_wrap_reviews.json", {"data": [record]}), models=("a", "b"))
    assert outcomes(found) == {"win": 1}
    assert lines_of(found)[0]["question"] == text


# One file an order


def orders(
    folder: Path,
    scores: list[tuple[str, str]],
    names: tuple[str, str] = ("vicuna_a2_first.json", "vicuna_b2_first.json"),
) -> list[Path]:
    def record(number: int, review: str) -> Record:
        return {
            "question_id": f"vicuna_{number}",
            "text": f"Question {number}?",
            "a2": "of a",
            "b2": "of b",
            "review": review,
            "score": [8.0, 7.0],
        }

    return [
        write(
            folder, names[side], [record(number, each[side] + "\n\nBecause.") for number, each in enumerate(scores, 1)]
        )
        for side in (0, 1)
    ]


def test_two_files_one_an_order(tmp_path: Path) -> None:
    paths = orders(tmp_path, [("8 7", "6 9"), ("8 8", "8 8"), ("7 8", "9 6"), ("8 7", "8 7")])
    found = imported(*paths)
    assert outcomes(found) == {"win": 1, "tie": 2, "lose": 1}
    assert lines_of(found)[0] == {
        "pair": ["a2", "b2"],
        "test_set": "vicuna",
        "id": "vicuna_1",
        "judge": "replies",
        "first": "a2",
        "second": "b2",
        "reply": "8 7\n\nBecause.",
        "question": "Question 1?",
        "first_answer": "of a",
        "second_answer": "of b",
    }
    assert (found.found.left_out, found.found.notes, found.one_order) == ({}, [], False)
    assert outcomes(imported(*reversed(paths))) == outcomes(found)
    assert outcomes(imported(*paths, models=("b2", "a2"))) == {"win": 1, "tie": 2, "lose": 1}


def test_who_is_first_is_in_the_name_or_is_asked_for(tmp_path: Path) -> None:
    paths = orders(tmp_path, [("8 7", "6 9")], ("one.json", "two.json.gz"))
    assert "who is first in the prompts, a2 or b2?" in refused(*paths)
    found = imported(*paths, first=("a2", "b2"), test_set="mine", judge="gpt")
    assert outcomes(found) == {"win": 1}
    assert {(line["test_set"], line["judge"]) for line in lines_of(found)} == {("mine", "gpt")}
    assert outcomes(imported(*paths, first=("b2", "a2"))) == {"lose": 1}
    assert "1 names for 2 files" in refused(*paths, first=("a2",))
    assert "none of the models" in refused(*paths, first=("a2", "c"))
    dashed = orders(tmp_path / "more", [("8 7", "6 9")], ("a2-b2-koala.json", "b2-a2-koala.json"))
    assert (outcomes(imported(*dashed)), lines_of(imported(*dashed))[0]["test_set"]) == ({"win": 1}, "koala")


def test_the_models_are_named_where_records_have_more_texts(tmp_path: Path) -> None:
    record = {"text": "Q", "x": "1", "y": "2", "z": "3", "review": "8 7"}
    path = write(tmp_path, "vicuna_x_first.json", [record])
    assert "give --models A B" in refused(path)
    found = imported(path, models=("x", "z"))
    assert lines_of(found)[0]["pair"] == ["x", "z"]
    assert found.one_order
    assert found.found.left_out == {}


def test_questions_give_categories_by_text_then_by_id(tmp_path: Path) -> None:
    paths = orders(tmp_path, [("8 7", "6 9"), ("8 8", "8 8")])
    questions = write(
        tmp_path,
        "q.jsonl",
        [{"question_id": 7, "text": " question 1? ", "category": "generic", "Skill": "Writing"}],
        lines=True,
    )
    found = imported(*paths, questions=questions)
    assert [(line.get("category"), line.get("skill")) for line in lines_of(found)] == [
        ("generic", "Writing"),
        (None, None),
    ] * 2
    assert found.questions is not None
    assert (len(found.questions.joined), len(found.questions.missing)) == (1, 1)


# Both orders in one record


def cherry(
    folder: Path, reviews: list[tuple[str, str]], key: str = "Instruction", dataset: str = "wizardlm", **more: Any
) -> Path:
    data = [
        {
            key: f"Q{number}",
            "Answer1": "one",
            "Answer2": "two",
            "review": first,
            "scores": "[8.0, 7.0]",
            "review_reverse": second,
            "scores_reverse": "[7.0, 8.0]",
        }
        | more
        for number, (first, second) in enumerate(reviews)
    ]
    meta = {"dataset_name": dataset, "average_scores": "[7.3, 7.2]", "average_scores_reverse": "[7.3, 7.6]"}
    return write(folder, "cherry-VS-alpaca/wizardlm_wrap_reviews_gpt4.json", {"Meta_Info": meta, "data": data})


def nine_branches(first: list[float], second: list[float]) -> str:
    """The published scoring of Cherry_LLM: the scores of the other order are exchanged, then nine cases."""
    second = [second[1], second[0]]
    wins = [scores[0] > scores[1] for scores in (first, second)]
    losses = [scores[0] < scores[1] for scores in (first, second)]
    if (wins[0] and losses[1]) or (losses[0] and wins[1]):
        return "tie"
    if any(wins):
        return "win"
    return "lose" if any(losses) else "tie"


@given(st.lists(st.tuples(SCORES, SCORES, SCORES, SCORES), min_size=1, max_size=8))
@settings(max_examples=examples(150), deadline=None)
def test_both_orders_give_what_the_published_scoring_gives(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]
) -> None:
    path = cherry(tmp_path_factory.mktemp("logs"), [(f"{a} {b}\nSo.", f"{c} {d}\nSo.") for a, b, c, d in rows])
    expected = Counter(nine_branches([float(a), float(b)], [float(c), float(d)]) for a, b, c, d in rows)
    assert outcomes(imported(path)) == expected


@pytest.mark.parametrize(
    ("key", "dataset", "name"),
    [("text", "vicuna", "vicuna"), ("instruction", "sinstruct", "self_instruct"), ("conversations", "lima", "lima")],
)
def test_a_record_with_both_orders(tmp_path: Path, key: str, dataset: str, name: str) -> None:
    found = imported(cherry(tmp_path, [("8 7", "6 9")], key, dataset))
    first, second = lines_of(found)
    assert (first["pair"], first["first"], second["first"]) == (["cherry", "alpaca"], "cherry", "alpaca")
    assert (first["id"], first["test_set"], first["question"]) == ("1", name, "Q0")
    assert (first["first_answer"], second["first_answer"]) == ("one", "two")
    assert (first["reply"], second["reply"]) == ("8 7", "6 9")


def test_a_record_without_text_has_its_scores_and_minus_one_is_none(tmp_path: Path) -> None:
    found = imported(
        cherry(tmp_path, [("", "")] * 2, scores="[9.0, 8.5]", scores_reverse="[-1, -1]"), models=("x", "y")
    )
    assert [line["reply"] for line in lines_of(found)] == ["9 8.5", ""] * 2
    assert outcomes(found) == {None: 2}
    assert any(
        "2 replies have no text in the log; they are written from its scores" in note for note in found.found.notes
    )


def test_the_log_s_own_results_are_compared_with_what_is_read(tmp_path: Path) -> None:
    found = imported(cherry(tmp_path, [("8 7", "7 8"), ("7 8", "7 8"), ("Both are good.", "7 8\nSo.")]))
    assert found.against_log() == {"same": 4, "otherwise": 1, "unread": 1}
    pairs = [pair_record(81, "[[A]]", "I say [[B]]"), pair_record(82, "[[A]] at first.\n[[B]]", "[[C]]")]
    found = imported(write(tmp_path, "gpt-4_pair.jsonl", pairs, lines=True))
    assert found.against_log() == {"same": 3, "otherwise": 1}


def test_models_that_a_log_does_not_name(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "logs/koala.json",
        {
            "data": [
                {"prompt": "Q", "Answer1": "1", "Answer2": "2", "review": "8 7", "review_reverse": "7 8"},
                {"Answer1": "", "Answer2": ""},
            ]
        },
    )
    found = imported(path)
    assert lines_of(found)[0]["pair"] == ["Answer1", "Answer2"]
    assert any("give --models A B" in note for note in found.found.notes)
    assert found.found.left_out == {"no review": 1}


# FastChat


def pair_record(item: int, g1: str, g2: str, turn: int = 1, **more: Any) -> Record:
    def winner(text: str, sides: dict[str, str]) -> str:
        return next((name for mark, name in sides.items() if mark in text), "error")

    return {
        "question_id": item,
        "model_1": "alpaca-13b",
        "model_2": "vicuna-13b",
        "g1_winner": winner(g1, {"[[A]]": "model_1", "[[B]]": "model_2", "[[C]]": "tie"}),
        "g2_winner": winner(g2, {"[[A]]": "model_2", "[[B]]": "model_1", "[[C]]": "tie"}),
        "judge": ["gpt-4", "pair-v2" if turn == 1 else "pair-v2-multi-turn"],
        "g1_user_prompt": "[User Question] …",
        "g1_judgment": g1,
        "g2_user_prompt": "[User Question] …",
        "g2_judgment": g2,
        "turn": turn,
        "tstamp": 1687192000.5 + item,
        **more,
    }


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("ABC")), min_size=1, max_size=8))
@settings(max_examples=examples(100), deadline=None)
def test_pairs_of_mt_bench_give_what_fastchat_counts(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    records = [pair_record(81 + n, f"A is long.\n\n[[{a}]]", f"B is short. [[{b}]]") for n, (a, b) in enumerate(rows)]
    expected: Counter[str | None] = Counter()
    for record in records:
        agreed = record["g1_winner"] if record["g1_winner"] == record["g2_winner"] else "tie"
        expected[{"model_1": "win", "model_2": "lose", "tie": "tie"}[agreed]] += 1
    found = imported(write(tmp_path_factory.mktemp("logs"), "gpt-4_pair.jsonl", records, lines=True))
    assert outcomes(found, "fastchat") == expected
    assert found.recorded.kinds == {"gpt-4": "mt_bench"}


def test_pairs_of_mt_bench(tmp_path: Path) -> None:
    records = [
        pair_record(81, "[[A]]", "[[B]]"),
        pair_record(81, "[[B]]", "$ERROR$", turn=2),
        pair_record(82, "[[C]]", "[[C]]"),
        pair_record(82, "[[C]]", "[[C]]", tstamp=5),
        pair_record(83, "[[C]]", "[[C]]"),
        pair_record(83, "[[A]]", "[[C]]"),
    ]
    del records[0]["g1_judgment"]
    found = imported(write(tmp_path, "gpt-4_pair.jsonl.gz", records, lines=True))
    lines = lines_of(found)
    assert [(line["id"], line["first"], line["reply"], line["turn"]) for line in lines[:4]] == [
        ("81", "alpaca-13b", "[[A]]", 1),
        ("81", "vicuna-13b", "[[B]]", 1),
        ("81 turn 2", "alpaca-13b", "[[B]]", 2),
        ("81 turn 2", "vicuna-13b", None, 2),
    ]
    assert {line["test_set"] for line in lines} == {"mt_bench"}
    assert found.found.left_out == {
        "the same reply once more": 3,
        "an earlier reply to the same request: the last one counts": 1,
    }
    assert outcomes(found, "fastchat") == {"win": 1, None: 1, "tie": 2}
    assert [each.a_first.winner for each in found.recorded.judgements if each.id == "83"] == ["first"]


def test_single_ratings_of_mt_bench(tmp_path: Path) -> None:
    def record(model: str, item: int, score: float, turn: int = 1) -> Record:
        text = f"The answer is fine. Rating: [[{score:g}]]" if score >= 0 else "$ERROR$"
        common = {
            "question_id": item,
            "model": model,
            "judge": ["gpt-4", "single-v1"],
            "user_prompt": "…",
            "judgment": text,
        }
        return common | {"score": score, "turn": turn, "tstamp": 1.5}

    records = [
        record("a", 81, 8),
        record("b", 81, 6.5),
        record("a", 81, 5, 2),
        record("b", 81, 7, 2),
        record("a", 82, 9),
        record("b", 82, -1),
    ]
    found = imported(write(tmp_path, "gpt-4_single.jsonl", records, lines=True))
    assert outcomes(found) == {"win": 1, "lose": 1, None: 1}
    assert found.recorded.kinds == {"gpt-4": "single"}
    assert not found.one_order
    both = pair_record(90, "Fine. [[8]]", "Poor. [[3]]", m1_score=8, m2_score=3)
    ratings = imported(write(tmp_path, "gpt-4_other.jsonl", [both], lines=True))
    assert (outcomes(ratings), [line["model"] for line in lines_of(ratings)]) == (
        {"win": 1},
        ["alpaca-13b", "vicuna-13b"],
    )


def test_reviews_of_the_vicuna_evaluation(tmp_path: Path) -> None:
    def record(item: int, text: str, kind: str = "generic") -> Record:
        return {
            "review_id": f"QM5{item}",
            "question_id": item,
            "answer1_id": "kEL",
            "answer2_id": "cV4",
            "reviewer_id": f"gpt-4-0328-{kind}",
            "metadata": {},
            "text": text,
            "score": [8.0, 9.0],
        }

    path = write(
        tmp_path,
        "review_alpaca-13b_vicuna-13b.jsonl",
        [record(1, "8 9\nBoth are good."), record(61, "9 8\nYes.", "coding")],
        lines=True,
    )
    questions = write(
        tmp_path, "question.jsonl", [{"question_id": 61, "text": "Code?", "category": "coding"}], lines=True
    )
    found = imported(path, questions=questions)
    assert [(line["id"], line["first"], line.get("category")) for line in lines_of(found)] == [
        ("1", "alpaca-13b", None),
        ("61", "alpaca-13b", "coding"),
    ]
    assert {line["judge"] for line in lines_of(found)} == {"gpt-4-0328"}
    assert found.one_order
    other = write(
        tmp_path,
        "review_vicuna-13b_alpaca-13b.jsonl",
        [record(1, "9 8\nBoth are good."), record(61, "9 8\nYes.")],
        lines=True,
    )
    both = imported(path, other)
    assert (outcomes(both), both.one_order) == ({"lose": 1, "tie": 1}, False)
    odd = write(tmp_path, "reviews.jsonl", [record(1, "8 9")], lines=True)
    assert "give --models A B" in refused(odd)
    assert lines_of(imported(odd, models=("x", "y")))[0]["first"] == "x"
    assert lines_of(imported(odd, models=("x", "y"), first=("y",)))[0]["first"] == "y"


def test_votes_of_people(tmp_path: Path) -> None:
    def record(item: int, winner: str, judge: str = "author_1") -> Record:
        turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
        return {
            "question_id": item,
            "model_a": "a",
            "model_b": "b",
            "winner": winner,
            "judge": judge,
            "turn": 1,
            "conversation_a": turns,
            "conversation_b": turns,
        }

    votes = ["model_a", "model_b", "tie", "tie (bothbad)", "no idea"]
    found = imported(write(tmp_path, "human.jsonl", [record(n, winner) for n, winner in enumerate(votes)], lines=True))
    assert [line["reply"] for line in lines_of(found)] == ["[[A]]", "[[B]]", "[[C]]", "[[C]]"]
    assert (lines_of(found)[0]["question"], lines_of(found)[0]["first_answer"]) == ("Hello", "Hi")
    assert found.found.left_out == {"no winner that is known: no idea": 1}
    assert found.one_order
    arena = imported(
        write(tmp_path, "arena.jsonl", [record(n, "model_a", f"arena_user_{n}") for n in range(3)], lines=True)
    )
    assert {(line["test_set"], line["judge"]) for line in lines_of(arena)} == {("chatbot_arena", "people")}


def test_pairs_of_old_files_have_one_verdict(tmp_path: Path) -> None:
    record = {"question_id": 1, "model_1": "a", "model_2": "b", "winner": "model_2", "judge": ["gpt-4", "pair-v1"]}
    found = imported(write(tmp_path, "old_pair.jsonl", [record], lines=True))
    assert [(line["first"], line["reply"]) for line in lines_of(found)] == [("a", "[[B]]")]
    assert found.one_order


# alpaca_eval


def test_annotations_of_alpaca_eval(tmp_path: Path) -> None:
    def record(number: int, preference: float | None, **more: Any) -> Record:
        return {
            "instruction": f"Do {number}",
            "output_1": "ref",
            "generator_1": "text_davinci_003",
            "dataset": "helpful_base",
            "output_2": "new",
            "generator_2": "model",
            "annotator": "alpaca_eval_gpt4",
            "preference": preference,
            "raw_completion": {"text": "M"},
            **more,
        }

    given = [2.0, 1, 1.5, 0, None, float("nan"), 1.0000556, 1.98, 2.0]
    records = [record(number, preference) for number, preference in enumerate(given[:-1])]
    records.append(record(0, 2.0, annotator="other"))
    found = imported(write(tmp_path, "annotations.json", records))
    lines = lines_of(found)
    assert [line["reply"] for line in lines] == [
        "[[B]]",
        "[[A]]",
        "[[C]]",
        "[[C]]",
        None,
        None,
        "[[A]]",
        "[[B]]",
        "[[B]]",
    ]
    assert (lines[0]["pair"], lines[0]["first"], lines[0]["test_set"], lines[0]["category"]) == (
        ["model", "text_davinci_003"],
        "text_davinci_003",
        "alpaca_eval",
        "helpful_base",
    )
    assert lines[8]["id"] == lines[0]["id"]
    assert found.one_order
    notes = " ".join(found.found.notes)
    assert "which answer was shown first is not in the log" in notes
    assert "2 preferences are between 1 and 2" in notes


# What is left out


def test_lines_that_are_no_json_and_records_that_say_nothing_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "gpt-4_pair.jsonl"
    path.write_text(
        json.dumps(pair_record(81, "[[A]]", "[[B]]"))
        + "\n{broken\n[1]\n"
        + json.dumps({"question_id": 5, "model_1": "x"})
        + "\n"
    )
    found = imported(path)
    assert found.found.left_out == {"a line that is not JSON": 1, "no object": 1, "no model_2": 1}
    assert len(lines_of(found)) == 2


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    assert "no known form of a log" in refused(write(tmp_path, "x.json", [{"a": 1}]))
    assert "no records" in refused(write(tmp_path, "y.json", []))
    assert "recorded replies already" in refused(
        write(tmp_path, "z.jsonl", [{"pair": ["a", "b"], "first": "a", "second": "b", "reply": ""}], lines=True)
    )
    assert "no such file" in refused(tmp_path / "nothing.json")
    (tmp_path / "text.json").write_text("hello\n")
    assert "neither JSON nor JSON Lines" in refused(tmp_path / "text.json")
    (tmp_path / "latin.json").write_bytes(b'["\xff"]')
    assert "not UTF-8" in refused(tmp_path / "latin.json")
    (tmp_path / "torn.json.gz").write_bytes(gzip.compress(b"[" * 1000)[:20])
    assert "cannot be read" in refused(tmp_path / "torn.json.gz")
    log = write(tmp_path, "vicuna_x_first.json", [{"text": "Q", "x": "1", "y": "2", "review": "8 7"}])
    assert "two different models" in refused(log, models=("x", "x"))


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "question_id",
                "model_1",
                "model_2",
                "g1_judgment",
                "g1_winner",
                "judge",
                "turn",
                "model",
                "judgment",
                "review",
                "Answer1",
                "Answer2",
                "preference",
                "generator_1",
                "generator_2",
            ]
        ),
        st.none() | st.integers(-1, 9) | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    )
)
@settings(max_examples=examples(300), deadline=None)
def test_a_record_of_any_shape_is_a_line_a_reason_or_an_error(record: Record) -> None:
    try:
        found = import_logs([LogFile("log.json", [record])], ImportOptions())
    except RecipeError:
        return
    assert found.lines
