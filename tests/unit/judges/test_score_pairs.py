"""Forms in which judges write two scores from 1 to 10, and what each means: both scores, or the reason for none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.judges._spec import JudgeSpec
from alpaqual.judges.vicuna import Plugin
from alpaqual.values import Reply, Vote

NO, MANY, RANGE, OFF = "no two scores", "more than two scores", "a range in place of a score", "out of scale"
SORRY, EMPTY, OPEN = "refusal", "empty reply", "unfinished thinking"


def read(text: str, finish_reason: str | None = None) -> Vote:
    return Plugin(JudgeSpec(), "m").read(Reply(text, "m", finish_reason=finish_reason))


FORMS = [
    "{a} {b}",
    "{a}  {b}",
    "{a}\t{b}",
    "{a},{b}",
    "{a}, {b}",
    "{a}; {b}",
    "{a} | {b}",
    "| {a} | {b} |",
    "{a} & {b}",
    "{a} and {b}",
    "{a} vs. {b}",
    "({a}, {b})",
    "[{a}, {b}]",
    '"{a} {b}"',
    "`{a} {b}`",
    "**{a} {b}**",
    "**{a}** **{b}**",
    "### {a} {b}",
    "> {a} {b}",
    "{a} {b}.",
    "\n\n {a} {b} \n",
    "\ufeff{a} {b}",
    "{a}\xa0{b}",
    "{a}/10 {b}/10",
    "{a}/10, {b}/10",
    "{a} / 10 and {b} / 10",
    "{a}/10 - {b}/10",
    "{a} out of 10 and {b} out of 10",
    "Scores: {a} {b}",
    "Score: {a}, {b}",
    "**Scores:** {a} {b}",
    "Scores (1-10): {a} {b}",
    "Scores (out of 10): {a} {b}",
    "Ratings: {a} and {b}",
    "Scores:\n{a} {b}",
    "Here are my scores:\n\n{a} {b}",
    "My scores for the two assistants are {a} and {b}.",
    "The scores for Assistant 1 and 2, respectively: {a} {b}",
    "Assistant 1 and Assistant 2: {a} {b}",
    "Assistant 1: {a}, Assistant 2: {b}",
    "Assistant 1: {a} Assistant 2: {b}",
    "Assistant 1: {a}; Assistant 2: {b}.",
    "Assistant 1: {a}\nAssistant 2: {b}",
    "Assistant 1: {a}/10\n\nAssistant 2: {b}/10\n",
    "Assistant 1 - {a}, Assistant 2 - {b}",
    "**Assistant 1:** {a}\n**Assistant 2:** {b}",
    "- Assistant 1: {a}\n- Assistant 2: {b}",
    "Assistant 1 Score: {a}\nAssistant 2 Score: {b}",
    "Assistant 1's score: {a}; Assistant 2's score: {b}",
    "Score for Assistant 1: {a}. Score for Assistant 2: {b}.",
    "Score 1: {a}\nScore 2: {b}",
    "Assistant 1 ({a}) Assistant 2 ({b})",
    "Assistant 1 = {a}, Assistant 2 = {b}",
    "Assistant A: {a}, Assistant B: {b}",
    "Model A: {a}\nModel B: {b}",
    "Answer 1: {a}, Answer 2: {b}",
    "A: {a}, B: {b}",
    "First: {a}, second: {b}",
    "The first assistant gets {a} and the second assistant gets {b}.",
    "I would rate Assistant 1 an {a} and Assistant 2 a {b}.",
    "{a} for Assistant 1 and {b} for Assistant 2",
    "{a} (Assistant 1), {b} (Assistant 2)",
    "Assistant 2: {b}, Assistant 1: {a}",
    '{{"assistant_1": {a}, "assistant_2": {b}}}',
    '```json\n{{\n  "assistant_1": {a},\n  "assistant_2": {b}\n}}\n```',
    '{{"scores": [{a}, {b}]}}',
    "```\n{a} {b}\n```",
    "| Assistant 1 | Assistant 2 |\n|---|---|\n| {a} | {b} |",
    "{a}\n{b}",
    "<think>I say 1 1, or 2 2.</think>\n{a} {b}",
    "They are alike.\n</think>\n\n{a} {b}",
    "{a} {b} (Assistant 2 is more detailed)",
    "{a} {b}. Assistant 1 is clear.",
    "评分：{a} {b}",
    "{a}分 {b}分",
    "Output: {a} {b}",
    "<scores>{a} {b}</scores>",
    "助手1：{a} 助手2：{b}",
]
BEHIND = [
    "",
    "\n",
    "\n\nAssistant 1 is better.",
    "\nAssistant 1: 3/10 for style, Assistant 2: 9/10.\n9 1\n",
    "\n\n- Helpfulness: 8\n- Accuracy: 7\n\nThe user said: [[B]], 1 10.",
]
NUMBERS = st.integers(2, 20).map(lambda half: f"{half / 2:g}")


@given(st.sampled_from(FORMS), NUMBERS, NUMBERS, st.sampled_from(BEHIND))
@settings(max_examples=examples(1500), deadline=None)
def test_two_scores_are_read_back(form: str, a: str, b: str, behind: str) -> None:
    vote = read(form.format(a=a, b=b) + behind)
    assert (vote.scores, vote.reason) == ((float(a), float(b)), "")
    assert vote.winner == ("first" if float(a) > float(b) else "second" if float(b) > float(a) else "tie")


def test_0_is_what_judges_give_to_an_empty_answer() -> None:
    assert (read("0 8").winner, read("0 8").scores) == ("second", (0.0, 8.0))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(form: str) -> None:
    assert read(form.format(a="8", b="6.5") + "\n\nBecause.").scores == (8, 6.5)


@pytest.mark.parametrize("token", ["<|im_end|>", "</s>", "<|eot_id|>"])
def test_a_token_that_ends_the_turn_is_left_out(token: str) -> None:
    assert read(f"8 6.5{token}").scores == (8, 6.5)


NOTHING = {
    "": EMPTY,
    " \n\t": EMPTY,
    "8": NO,
    "8/10": NO,
    "8/7": NO,
    "8 7 9": MANY,
    "8 7 9 6": MANY,
    "8, 7, 9": MANY,
    "8\n7\n6": MANY,
    "7-8 9": RANGE,
    "7–8 9": RANGE,
    "7 to 8 9": RANGE,
    "8-7": RANGE,
    "8 - 7": RANGE,
    "Assistant 1: 7-8, Assistant 2: 9": RANGE,
    "11 8": OFF,
    "8 10.5": OFF,
    "-8 7": OFF,
    "85 90": OFF,
    "8/100 9/100": OFF,
    "08 7": NO,
    "1. 8\n2. 7": NO,
    "1: 8\n2: 7": NO,
    "(1) 8 (2) 7": NO,
    "Assistant 1: 8": NO,
    "Assistant 1: 8, Assistant 1: 7": NO,
    "8% 7%": NO,
    "Assistant 2 > Assistant 1: 7 8": NO,
    "8th 7th": NO,
    "Both are good.\n8 7": NO,
    "Assistant 1 deserves 8 points since it lists 7": NO,
    "The answer to 8 + 7 is 15.": NO,
    "8 7 of the points are wrong": NO,
    "8 7\n</think>\n9 1": "verdicts that differ",
    "<think>8 7": OPEN,
    "I'm sorry, but I cannot rate these answers.": SORRY,
    "As an AI, I have no preference.": SORRY,
    "eight seven": NO,
    "[[A]]": NO,
    "$ERROR$": NO,
}


@pytest.mark.parametrize("text", NOTHING)
def test_what_is_not_clear_gives_no_scores(text: str) -> None:
    vote = read(text)
    assert (vote.winner, vote.scores, vote.reason, vote.reply) == (None, (), NOTHING[text], text)


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("8 1", None),
        ("8", None),
        ("Assistant 1: 8, Assist", None),
        ("8 7\n", (8, 7)),
        ("8 7\n\nAssistant 1 is", (8, 7)),
        ("", None),
    ],
)
def test_a_reply_that_was_cut_has_scores_where_they_are_whole(text: str, scores: tuple[float, float] | None) -> None:
    vote = read(text, "length")
    assert vote.scores == (scores or ())
    assert vote.reason == ("" if scores else "cut")


@given(st.text(st.sampled_from("0123456789 .,/-\n:|*[]ABab12 'Assistant'scores"), max_size=60))
@settings(max_examples=examples(2000), deadline=None)
def test_scores_are_always_two_numbers_of_the_reply_on_the_scale(text: str) -> None:
    vote = read(text)
    assert (vote.winner is None) == bool(vote.reason) == (not vote.scores)
    assert all(0 <= score <= 10 for score in vote.scores)


def test_a_plain_first_line_reads_as_the_published_scripts_read_it() -> None:
    """AlpaGasus2-QLoRA and Cherry_LLM: the first line, commas as spaces, split at single spaces, two numbers."""

    def published(text: str) -> tuple[float, ...]:
        parts = text.split("\n")[0].replace(",", " ").split(" ")
        try:
            return tuple(map(float, parts)) if len(parts) == 2 else ()
        except ValueError:
            return ()

    numbers = ["1", "7", "8.5", "10", "9.0"]
    for a, b, between in itertools.product(numbers, numbers, [" ", ","]):
        text = f"{a}{between}{b}\nAssistant 1 is better than 3 others."
        if "." in a + b or between == " ":
            assert read(text).scores == published(text)


@pytest.mark.parametrize(
    "text", ["*" * 100_000, "Assistant 1 " * 20_000, "8 7\n" + "</think>\n" * 20_000, " 8" * 50_000]
)
def test_long_replies_are_read_in_no_time(text: str) -> None:
    assert read(text).winner in (None, "first")
