"""Where a recipe says that a reply has its score: the last line, JSON, or a regular expression."""

from __future__ import annotations

import time

import pytest

from alpaqual.graders._reply import parse_score
from alpaqual.reply_places import MAX_PATTERN, reply_problem

NO = "no number"


def meaning(reply: str, place: str, finish_reason: str | None = None) -> object:
    grade = parse_score(reply, 0, 5, "accuracy", finish_reason, place)
    return grade.reason if grade.score is None else grade.score


@pytest.mark.parametrize(
    ("reply", "means"),
    [
        ("4.5", 4.5),
        ("The response is right.\n\n4.5", 4.5),
        ("Score: 5 is what the response asks for.\nScore: 4.5", 4.5),
        ("1. It is right.\n2. It is short.\n\n**Rating: [[4.5]]**\n", 4.5),
        ("Right.\nScore:\n4.5", 4.5),
        ("Right.\n```\n4.5\n```", 4.5),
        ("Right.\n\\boxed{4.5}", 4.5),
        ("<think>5</think>Right.\n4.5", 4.5),
        ("Hm.\n</think>\nRight.\n4.5", 4.5),
        ('{"score": 4.5}', 4.5),
        ("4.5\nThe response is right.", NO),
        ("Score: 4.5\n1. It is right.", NO),
        ("4.5\nI have 3 reasons", NO),
        ("I'm sorry, but I cannot.\nAsk another.", "refusal"),
        ("Right.\n9/10", "out of scale"),
        ("", "empty reply"),
    ],
)
def test_the_last_line(reply: str, means: object) -> None:
    assert meaning(reply, "last_line") == means


def test_the_last_line_of_a_cut_reply_is_unknown() -> None:
    assert meaning("Right.\n4.5\n", "last_line", "length") == "cut"
    assert meaning("Right.\nIt", "last_line", "length") == "cut"
    assert meaning("Right.\n4.5\n", "last_line", "stop") == 4.5


@pytest.mark.parametrize(
    ("reply", "means"),
    [
        ('{"score": 4.5}', 4.5),
        ('Right.\n{"score": 4.5}', 4.5),
        ('Right.\n```json\n{\n  "why": {"a": 1},\n  "score": 4.5\n}\n```', 4.5),
        ('It says:\n{"score": 5}\nI say:\n{"score": 4.5}', 4.5),
        ('{"score": 4.5, "why": "It is cu', 4.5),
        ('It says:\n{"score": 5}\nwhich is wrong.', NO),
        ("4.5", NO),
        ("Score: 4.5", NO),
        ("I cannot rate this.", "refusal"),
        ("{" * 5000, NO),
        ("{\n" * 5000 + "}", NO),
    ],
)
def test_json(reply: str, means: object) -> None:
    assert meaning(reply, "json") == means


@pytest.mark.parametrize(
    ("pattern", "reply", "means"),
    [
        (r"^Verdict: (.+)$", "It is right.\nVerdict: 4.5\nBye.", 4.5),
        (r"^Verdict: (.+)$", "Verdict:   4.5/5", 4.5),
        (r"^Verdict: (.+)$", "Verdict: **4,5**", 4.5),
        (r"^Verdict: (.+)$", "Verdict: 评分 4.5", 4.5),
        (r"^Verdict: (.+)$", "Verdict: 4.5\nVerdict: 4.5", 4.5),
        (r"^Verdict: (.+)$", "Verdict: 5\nVerdict: 4.5", NO),
        (r"^Verdict: (.+)$", "Verdict: high", NO),
        (r"^Verdict: (.+)$", "It says Verdict: 5", NO),
        (r"^Verdict: (.+)$", "4.5", NO),
        (r"^Verdict: (.+)$", "Verdict: 9/10", "out of scale"),
        (r"^Verdict: (.+)$", "<think>Verdict: 5</think>\nVerdict: 4.5", 4.5),
        (r"(?i)\bverdict ([\d.]+)", "My VERDICT 4.5 of course", 4.5),
        (r"^V: (.+)$", "V: " + "4" * 2000, NO),
        (r"^V: (.*)$", "V: ", NO),
    ],
)
def test_a_regular_expression(pattern: str, reply: str, means: object) -> None:
    assert reply_problem(pattern) == ""
    assert meaning(reply, pattern) == means


def test_a_match_that_ends_a_cut_reply_is_cut() -> None:
    assert meaning("V: 4", r"^V: (.+)$", "length") == "cut"
    assert meaning("V: 4\nand", r"^V: (.+)$", "length") == 4
    assert meaning("and", r"^V: (.+)$", "length") == "cut"


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("first", "one group"),
        (r"(\d)(\d)", "one group"),
        ("(x", "not a regular expression"),
        (r"(\d)(?=x)", "no look-around"),
        (r"(a+)+(?:b)", "repeats what repeats"),
        (r"(?:a|ab)*(x)", "repeats what repeats"),
        (r"(?:a{2,}){3,}(x)", "repeats what repeats"),
        (r".*.*.*(x)", "at most 2"),
        ("a\n(x)", "no line break"),
        ("(" + "x" * MAX_PATTERN + ")", "at most 200 characters"),
    ],
)
def test_a_pattern_that_cannot_be_used(pattern: str, problem: str) -> None:
    assert problem in reply_problem(pattern)


@pytest.mark.parametrize("pattern", [r".*x.*(y)", r"\w*\w*(y)", r"\s*\d+\s*\d+\s*(y)", r"(?:\d{1,9}\.)?\d+(y)"])
def test_hostile_text_takes_no_time(pattern: str) -> None:
    assert reply_problem(pattern) == ""
    start = time.process_time()
    for line in ("x" * 200, "1" * 20 + " ", "x1 " * 60, " " * 900 + "x"):
        assert meaning((line + "\n") * 1000, pattern) == NO
    assert time.process_time() - start < 20


@pytest.mark.parametrize("place", ["json", "last_line"])
@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ('{"score": 4}\nCorrection: {"score": 1}', None),
        ('{"score": 4} {"score": 1}', None),
        ('{"score": 4}\nAs I said: {"score": 4.0}', 4),
        ('{"score": 4, "why": {"score": 1}}\nFor {x} and {"other": 1}', 4),
    ],
)
def test_another_score_behind_the_object_is_ambiguous(place: str, reply: str, score: float | None) -> None:
    assert parse_score(reply, 0, 5, place=place).score == score
