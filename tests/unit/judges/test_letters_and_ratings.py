"""Forms in which judges write a verdict by letter, or one rating, and what each means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.judges._spec import JudgeSpec
from alpaqual.judges.mt_bench import Plugin as Pairwise
from alpaqual.judges.single import Plugin as Single
from alpaqual.values import Reply, Vote, Winner

WINNERS: dict[str, Winner] = {"A": "first", "B": "second", "C": "tie"}


def letter(text: str, finish_reason: str | None = None) -> Vote:
    return Pairwise(JudgeSpec(), "m").read(Reply(text, "m", finish_reason=finish_reason))


def rating(text: str, finish_reason: str | None = None) -> Vote:
    return Single(JudgeSpec(), "m").read(Reply(text, "m", finish_reason=finish_reason))


LETTERS = [
    "[[{x}]]",
    "[[{x}]].",
    "**[[{x}]]**",
    "[[ {x} ]]",
    "[[**{x}**]]",
    '"[[{x}]]"',
    "Final verdict: [[{x}]]",
    "My final verdict is: [[{x}]]",
    'Therefore, my final verdict is "[[{x}]]".',
    "**Verdict:** [[{x}]]",
    "Both are close. [[{x}]]",
    "{x}",
    "**{x}**",
    "[{x}]",
    "Verdict: {x}",
    "Answer: {x}.",
    "\\boxed{{{x}}}",
    "({x})",
    '{{"verdict": "{x}"}}',
    "<answer>{x}</answer>",
]
EXPLANATIONS = [
    "",
    "Assistant A lists more points; assistant B is wrong on one.\n\n",
    'The form is "[[A]]", "[[B]]" or "[[C]]".\n',
    "Assistant B's answer ends with [[B]], which is out of place. Assistant A's has [[A]].\nBoth are short.\n\n",
    "<think>[[A]] or [[B]]?</think>\n",
    "[[C]] seems right at first\n</think>\n",
]


@given(st.sampled_from(EXPLANATIONS), st.sampled_from(LETTERS[:10]), st.sampled_from("ABC"))
@settings(max_examples=examples(500), deadline=None)
def test_the_verdict_behind_an_explanation_is_read_back(before: str, form: str, x: str) -> None:
    assert letter(before + form.format(x=x)).winner == WINNERS[x]


@pytest.mark.parametrize("form", LETTERS)
@pytest.mark.parametrize("x", "ABC")
def test_a_verdict_alone_is_read_back(form: str, x: str) -> None:
    vote = letter(form.format(x=x))
    assert (vote.winner, vote.reason, vote.scores) == (WINNERS[x], "", ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty reply"),
        ("Assistant A is better.", "no verdict"),
        ("A tie is not what I would say", "no verdict"),
        ("[[D]]", "no verdict"),
        ("[[A or B]]", "no verdict"),
        ("$ERROR$", "no verdict"),
        ("8 7", "no verdict"),
        ('Assistant B answers with "[[B]]" alone.\nBoth are wrong.', "no verdict"),
        ("[[A]] [[B]]", "verdicts that differ"),
        ("[[A]]\n\nOn second thought, [[B]]", "verdicts that differ"),
        ("A\nB", "verdicts that differ"),
        ("<think>[[A]]", "unfinished thinking"),
        ("I'm sorry, I can't compare these.", "refusal"),
    ],
)
def test_what_is_not_clear_gives_no_verdict(text: str, reason: str) -> None:
    vote = letter(text)
    assert (vote.winner, vote.reason) == (None, reason)


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("Assistant A lists more.\n[[A]]", "first"),
        ("[[B]]\n\nAssistant B is", "second"),
        ('The form "[[A]]" is asked for. Assistant A', None),
        ("Assistant A ends with [[A]]. It is also", None),
        ("Assistant A lists", None),
    ],
)
def test_a_verdict_in_a_reply_that_was_cut_counts_where_it_is_the_end_or_alone(
    text: str, winner: Winner | None
) -> None:
    vote = letter(text, "length")
    assert (vote.winner, vote.reason) == (winner, "" if winner else "cut")


@given(st.text(st.sampled_from('[]ABC \n"*tie.:'), max_size=30))
@settings(max_examples=examples(1000), deadline=None)
def test_one_bracketed_verdict_is_what_fastchat_reads(text: str) -> None:
    """FastChat takes A where it has both; with one kind of verdict in the reply, and none in quotation marks, both agree."""
    there = {each for each in "ABC" if f"[[{each}]]" in text}
    if len(there) == 1 and '"' not in text and "tie" not in text and "[[ " not in text and "*" not in text:
        others = text.replace("[[A]]", "").replace("[[B]]", "").replace("[[C]]", "")
        if not any(each in others for each in "ABC["):
            assert letter(text).winner == WINNERS[there.pop()]


RATINGS = [
    "[[{x}]]",
    "Rating: [[{x}]]",
    "**Rating: [[{x}]]**",
    "Rating: [[{x}]].",
    "[[Rating: {x}]]",
    "[[{x}/10]]",
    "[{x}]",
    "{x}",
    "{x}/10",
    "Rating: {x}",
    "Rating: {x}/10",
    "Score: **{x}**",
    "I would rate the response a {x}.",
    '{{"rating": {x}}}',
    "<rating>{x}</rating>",
    "\\boxed{{{x}}}",
]


@given(
    st.sampled_from(RATINGS),
    st.integers(2, 20).map(lambda half: f"{half / 2:g}"),
    st.sampled_from(["", "The answer lists 3 points.\n\n", "I thought of [[2]] first, and [3].\n"]),
)
@settings(max_examples=examples(500), deadline=None)
def test_a_rating_is_read_back(form: str, x: str, before: str) -> None:
    if "[[2]]" in before and "[[" not in form.replace("\\boxed", "[["):
        return
    vote = rating(before + form.format(x=x))
    assert (vote.winner, vote.scores, vote.reason) == (None, (float(x),), "")


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ("", None, "empty reply"),
        ("The answer is good.", None, "no rating"),
        ("Rating: [[rating]]", None, "no rating"),
        ("It cites [1] and [2].", None, "no rating"),
        ("It cites [1].", None, "no rating"),
        ("See arr[3]: it is right.", None, "no rating"),
        ("Rating: [7], or rather a rating of [8].", None, "ratings that differ"),
        ("[[7]] and [[8]]", None, "ratings that differ"),
        ("[[3]]\n\n[[8]]", None, "ratings that differ"),
        ("[[11]]", None, "out of scale"),
        ("[[70/100]]", None, "out of scale"),
        ("7", "length", "cut"),
        ("The answer is", "length", "cut"),
        ("I can't rate this.", None, "refusal"),
    ],
)
def test_what_is_not_clear_gives_no_rating(text: str, finish_reason: str | None, reason: str) -> None:
    vote = rating(text, finish_reason)
    assert (vote.scores, vote.reason) == ((), reason)


@pytest.mark.parametrize(
    "text", ["[[" * 50_000, "*" * 100_000, "so " * 50_000, "so" + " " * 50_000 + "!", "\\boxed{" * 20_000]
)
def test_long_replies_are_read_in_no_time(text: str) -> None:
    assert letter(text).winner is None
    assert rating(text).scores == ()
