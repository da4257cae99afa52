"""What a grader's reply says, by its first line: a score on the scale, or none and why."""

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.graders._reply import parse_score

REASONS = {"empty reply", "refusal", "out of scale", "no number", "unfinished thinking"}


def score(reply, low=0, high=5, dimension="accuracy"):
    grade = parse_score(reply, low, high, dimension)
    assert grade.reply == reply
    assert (grade.score is None) == (grade.reason is not None)
    return grade.score


def reason(reply, low=0, high=5):
    grade = parse_score(reply, low, high)
    assert grade.score is None
    return grade.reason


@pytest.mark.parametrize(
    "reply",
    [
        "4.5",
        " 4.5 ",
        "4.5\n",
        "\ufeff4.5",
        "+4.5",
        "Score: 4.5",
        "score : 4.5",
        "SCORE=4.5",
        "4.5/5",
        "4.5 / 5",
        "4.5/5.0",
        "4.5 out of 5",
        "4.5 points",
        "4.5 stars",
        "4.5.",
        "**4.5**",
        "__4.5__",
        "`4.5`",
        "# 4.5",
        "> 4.5",
        '"4.5"',
        "**Score:** 4.5",
        "**Score: 4.5**",
        "### Score: 4.5/5",
        "Accuracy: 4.5",
        "Accuracy score: 4.5",
        "The accuracy score is 4.5",
        "Rating: 4.5 out of 5",
        "4.5 - The response is right.",
        "4.5: right",
        "4.5 (almost right)",
        "4.5, because one of 3 examples is wrong",
        "Score:\n4.5",
        "**Score**:\n\n4.5/5",
        "\n\n  \n4.5\nThe response is right.",
        "4.5\n\nIt says \"Score: 2\" itself.",
        "4.5\r\nThe response is right.",
        "<think>It says 5, or 2.\nScore: 1</think>\n4.5",
        "<thinking>5</thinking> Score: 4.5\nRight.",
        '{"score": 4.5}',
        '{"Score": "4.5/5", "explanation": "right"}',
        '{"explanation": "score 2", "rating": 4.5}',
        '{"accuracy": 4.5}',
        '{"accuracy": {"score": 4.5, "reason": "3 of 4"}}',
        '```json\n{"score": 4.5}\n```',
        '```\n{"score": "4.5"}\n```\nRight.',
        "```\n4.5\n```",
        '<think>5</think>```json\n{"grade": 4.5}\n```',
        '{"score": 4.5} and 2 more',
        "1. Accuracy: 4.5",
        "1) Accuracy: 4.5\n2) Helpfulness: 2",
    ],
)  # fmt: skip
def test_a_score(reply):
    assert score(reply) == 4.5


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (None, "empty reply"),
        ("", "empty reply"),
        (" \n\t\n", "empty reply"),
        ("\ufeff", "empty reply"),
        ("<think>4.5</think>", "empty reply"),
        ("<think>4.5, I would say", "unfinished thinking"),
        ("6", "out of scale"),
        ("-1", "out of scale"),
        ("Score: 5.01", "out of scale"),
        ("9/10", "out of scale"),
        ("4.5/10", "out of scale"),
        ("9" * 400, "out of scale"),
        ('{"score": ' + "9" * 400 + "}", "out of scale"),
        ('{"score": 1e999}', "out of scale"),
        ('{"score": NaN}', "out of scale"),
        ('{"score": 7}', "out of scale"),
        ("N/A", "no number"),
        ("n/a.", "no number"),
        ("None", "no number"),
        ("**N/A**", "no number"),
        ("The response is right.", "no number"),
        ("I would rate this a 4.5", "no number"),
        ("There are 3 errors.", "no number"),
        ("4 or 5", "no number"),
        ("4-5", "no number"),
        ("4,5", "no number"),
        ("4.5%", "no number"),
        ("4.5.1", "no number"),
        ("v4.5", "no number"),
        ("1/2/3", "no number"),
        ('{"score": true}', "no number"),
        ('{"score": null}', "no number"),
        ('{"score": [4.5]}', "no number"),
        ('{"points": 4.5}', "no number"),
        ('{"score": 4.5', "no number"),
        ("[4.5]", "no number"),
        ("```\n```", "no number"),
        ("I'm sorry, but I cannot rate this.", "refusal"),
        ("I’m sorry, but I can’t rate this.", "refusal"),
        ("As an AI, I have no opinion.", "refusal"),
        ("I cannot give 4.5 here.", "refusal"),
    ],
)
def test_no_score_and_why(reply, why):
    assert reason(reply) == why


@pytest.mark.parametrize(
    "reply",
    [
        "The response says nothing.\nScore: 5",
        "I would not rate it well, it says:\n\nScore: 5",
        "Here is the response that you sent:\nScore: 5\n5/5",
        "Response: the answer is here\n5",
        "Explanation below\n```json\n{\"score\": 5}\n```",
        "{not json}\n{\"score\": 5}",
        "N/A\nScore: 5",
        "I'm sorry, I cannot.\n5",
        "<think>hm\nScore: 5",
        "It ends with </think>\n5",
    ],
)  # fmt: skip
def test_a_response_that_quotes_a_score_gains_nothing(reply):
    assert score(reply) is None
    assert score("1\n" + reply) == 1


@pytest.mark.parametrize("half", [number / 2 for number in range(11)])
def test_half_points_are_exact(half):
    assert score(f"{half}") == score(f"{half:g}") == score(f"Score: {half}/5") == half


@pytest.mark.parametrize(
    ("low", "high", "reply", "wanted"),
    [
        (1, 10, "9/10", 9),
        (1, 10, "0.5", None),
        (0, 1, "0.85", 0.85),
        (0, 1, "0.85/1", 0.85),
        (0, 100, "85 out of 100", 85),
        (0, 100, "85%", None),
        (-1, 1, "-0.5", -0.5),
        (-1, 1, "Score: -1", -1),
        (0, 5, "-0", 0),
        (0, 5, ".5", 0.5),
        (0, 5, "٤.٥", 4.5),
        (0, 5, "²", None),
    ],
)
def test_any_scale(low, high, reply, wanted):
    assert score(reply, low, high) == wanted


def test_nothing_is_below_zero_by_its_sign_alone():
    assert math.copysign(1, score("-0")) == 1


def test_the_dimension_names_the_score():
    assert score('{"helpfulness": 3}', dimension="helpfulness") == 3
    assert score('{"helpfulness": 3}') is None
    assert score('{"Helpfulness": 3, "score": 4}', dimension="helpfulness") == 4


def test_depth_is_no_way_to_break_it():
    for depth in (50, 500, 900, 5000, 100_000):
        nested = '{"score": ' * depth + "4" + "}" * depth
        assert score(nested) is None
    assert score("[" * 100_000) is None
    assert score("<think>" * 100_000) is None


def test_a_long_reply_takes_no_time():
    # Each of these has made an expression of this kind run for minutes.
    for reply in (
        "a " * 200_000,
        "- " * 200_000,
        "4" * 200_000,
        "4 ." * 100_000,
        "*" * 400_000,
        "<think>" + "<" * 400_000,
    ):
        assert score(reply) is None


@given(st.text(), st.sampled_from([(0, 5), (1, 10), (-1, 1), (0, 0.1)]))
@settings(max_examples=examples(300), deadline=None)
def test_any_text_gives_a_grade(reply, scale):
    check_grade(reply, *scale)


PIECES = st.sampled_from(
    [
        "4.5",
        "5",
        "-",
        "/",
        "/5",
        "out of",
        "Score",
        ":",
        "**",
        "\n",
        " ",
        "{",
        "}",
        '"',
        "score",
        '"score"',
        "```",
        "json",
        "<think>",
        "</think>",
        "n/a",
        "1e5",
        "NaN",
        ",",
        ".",
        "I'm sorry",
        "[",
        "]",
        "٣",
        "\u2028",
        "\x00",
        "é",
        "accuracy",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
@example("4.5")
@settings(max_examples=examples(600), deadline=None)
def test_any_pieces_of_replies_give_a_grade(reply):
    check_grade(reply, 0, 5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["4.5", "4/5"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["score", "Score", "rating", "accuracy", "x"]), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(["score", "rating", "accuracy", "x"]), JSON), st.booleans())
@settings(max_examples=examples(200), deadline=None)
def test_any_json_gives_a_grade(value, fenced):
    text = json.dumps(value)
    check_grade(f"```json\n{text}\n```" if fenced else text, 0, 5)


def check_grade(reply, low, high):
    grade = parse_score(reply, low, high)
    assert grade.reply == reply
    if grade.score is None:
        assert grade.reason in REASONS
    else:
        assert grade.reason is None
        assert type(grade.score) is float
        assert low <= grade.score <= high
        assert float(f"{grade.score}") == grade.score


@given(st.floats(0, 5), st.sampled_from(["{}", "Score: {}", "{}/5", "**{}**", '{{"score": {}}}', "\n{}\nwhy: 2"]))
@settings(max_examples=examples(200), deadline=None)
def test_a_score_comes_through_as_it_was_written(number, form):
    plain = f"{number:.3f}"
    assert score(form.format(plain)) == float(plain)
