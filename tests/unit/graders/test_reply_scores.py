"""Several scores from one reply: each form of JSON that models write, all scores or none, and never a score of another name."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaqual.graders._prompt_spec import PromptSpec
from alpaqual.graders._reply_scores import parse_scores
from alpaqual.graders._scores import ScoreSpec
from alpaqual.graders.model import Plugin
from alpaqual.values import Grade, Reply, Row

SCORES = [ScoreSpec("accuracy", 0, 5, 0.5), ScoreSpec("follows_format", 0, 10)]
BOTH = (4.5, 7.0)

READ = [
    '{"accuracy": 4.5, "follows_format": 7}',
    '{"follows_format": 7, "accuracy": 4.5}',
    '{"accuracy": 4.5, "follows_format": 7, "rationale": "It is {right}."}',
    '```json\n{"accuracy": 4.5, "follows_format": 7}\n```',
    'Here is my rating:\n{"accuracy": 4.5, "follows_format": 7}',
    'Here is my rating:\n```json\n{\n  "accuracy": 4.5,\n  "follows_format": 7\n}\n```',
    '<think>{"accuracy": 1, "follows_format": 1}</think>\n{"accuracy": 4.5, "follows_format": 7}',
    'He wants a rating.\n</think>\n{"accuracy": 4.5, "follows_format": 7}',
    '{"Accuracy": 4.5, "Follows Format": 7}',
    '{"accuracy_score": 4.5, "follows-format": 7}',
    '{"accuracy": "4.5", "follows_format": "7/10"}',
    '{"accuracy": "4.5/5", "follows_format": "7 out of 10"}',
    '{"accuracy": {"score": 4.5, "reason": "5 errors"}, "follows_format": {"score": 7, "reason": "3 lines"}}',
    '{"scores": {"accuracy": 4.5, "follows_format": 7}}',
    '{"accuracy": 4.5, "follows_format": 7, "accuracy": 4.5}',
    '{"score": 1, "accuracy": 4.5, "follows_format": 7}',
    '{"accuracy": 4.5, "follows_format": 7} This is because the response is right.',
    '{"accuracy": 4.5, "follows_format": 7}\nAgain: {"follows_format": 7, "accuracy": 4.5}, since {x} is a set.',
    '{"accuracy": 4.5, "follows_format": 7, "rationale": "It is ri',
]

UNREAD = [
    ('{"accuracy": 4.5}', "no number"),
    ('{"accuracy": 4.5, "helpfulness": 7}', "no number"),
    ('{"score": 4.5}', "no number"),
    ('{"accuracy": 4.5, "follows_format": null}', "no number"),
    ('{"accuracy": 4.5, "follows_format": true}', "no number"),
    ('{"accuracy": 4.5, "follows_format": "good"}', "no number"),
    ('{"accuracy": 4.5, "follows_format": 7, "accuracy": 3}', "no number"),
    ('{"accuracy": 4.5, "follows_format": 11}', "out of scale"),
    ('{"accuracy": "4.5/10", "follows_format": 7}', "out of scale"),
    ('{"accuracy": -1, "follows_format": 7}', "out of scale"),
    ('{"accuracy": 4.5, "follows_format": 7} {"accuracy": 1, "follows_format": 7}', "no number"),
    ('{"accuracy": 4.5, "follows_format": 7}\nCorrection: {"accuracy": 4.5, "follows_format": 2}', "no number"),
    (
        '```json\n{"accuracy": 4.5, "follows_format": 7}\n```\nor\n```json\n{"accuracy": 4, "follows_format": 7}\n```',
        "no number",
    ),
    ("[4.5, 7]", "no number"),
    ("4.5", "no number"),
    ("", "empty reply"),
    ("I'm sorry, but I can't help with that.", "refusal"),
    ('<think>{"accuracy": 4.5, "follows_format": 7}', "unfinished thinking"),
    ('a\n</think>\nb\n</think>\n{"accuracy": 4.5, "follows_format": 7}', "no number"),
    ('{"accuracy": 4.5, "follows_format": 7', "no number"),
    ('{"accuracy": 4.5, "details": {"follows_format": 7}}', "no number"),
]


@pytest.mark.parametrize("reply", READ)
def test_both_scores_are_read(reply: str) -> None:
    assert parse_scores(reply, SCORES) == Grade(None, None, reply, scores=BOTH)


@pytest.mark.parametrize(("reply", "reason"), UNREAD)
def test_without_one_of_them_no_score_counts(reply: str, reason: str) -> None:
    assert parse_scores(reply, SCORES) == Grade(None, reason, reply)


def test_a_cut_reply_has_its_scores_or_is_cut() -> None:
    whole = '{"accuracy": 4.5, "follows_format": 7, "rationale": "Beca'
    assert parse_scores(whole, SCORES, "length").scores == BOTH
    for cut in ('{"accuracy": 4.5, "follows_format": 7', '{"accuracy": 4.5, "follo', '{"accuracy": 4'):
        assert parse_scores(cut, SCORES, "length").reason == "cut"


NAMES = st.lists(
    st.sampled_from(["accuracy", "helpfulness", "follows format", "Clarity", "точность", "准确性"]),
    min_size=1,
    unique=True,
)


@settings(deadline=None)
@given(NAMES, st.data())
def test_what_is_written_is_read_and_a_missing_one_is_none(names: list[str], data: st.DataObject) -> None:
    scores = [ScoreSpec(name, 0, 10) for name in names]
    values = data.draw(st.lists(st.integers(0, 20), min_size=len(names), max_size=len(names)))
    written = dict(zip(names, (value / 2 for value in values), strict=True))
    order = data.draw(st.permutations(names))
    fields = {name: written[name] for name in order}
    text = json.dumps(fields, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 2])))
    assert parse_scores(text, scores).scores == tuple(written.values())
    lost = data.draw(st.sampled_from(names))
    rest = json.dumps({name: value for name, value in fields.items() if name != lost})
    assert parse_scores(rest, scores).values == ()


@pytest.mark.parametrize("at", range(0, len(READ[2]) + 1))
def test_no_beginning_of_a_reply_gives_another_score(at: int) -> None:
    assert parse_scores(READ[2][:at], SCORES, "length").scores in ((), BOTH)


def asks(**more: object) -> Plugin:
    return Plugin(PromptSpec("accuracy, follows_format", 0, 10, {"max_tokens": 64}, scores=SCORES, **more), "openai/m")  # type: ignore[arg-type]


def test_a_follow_up_names_every_key_with_its_range() -> None:
    grader = asks()
    first = grader.request(Row("a", "i", "", "r"))
    texts = []
    for attempt in itertools.count(1):
        following = grader.follow_up(first, grader.read(Reply('{"accuracy": 4}', "m")), attempt)
        if following is None:
            break
        texts.append(following.messages[-1][1].removeprefix(first.messages[-1][1]))
    assert texts == [
        '\n\nYour reply must be one JSON object with a number for "accuracy" (0 to 5) and "follows_format" (0 to 10).',
        '\n\nReply with nothing but one JSON object with a number for "accuracy" (0 to 5) and "follows_format" (0 to 10).',
    ]
    longer = grader.follow_up(first, grader.read(Reply('{"accuracy": 4', "m", finish_reason="length")), 1)
    assert longer is not None
    assert longer.parameters["max_tokens"] == 512
