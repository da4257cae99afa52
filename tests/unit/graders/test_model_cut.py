"""What a grader asks after a reply that was cut by its length."""

from __future__ import annotations

import pytest

from alpaqual.graders._prompt_spec import PromptSpec
from alpaqual.graders.model import Plugin
from alpaqual.store.ledger import request_key
from alpaqual.values import Reply, Row

ROW = Row("r", "q", "", "a")


def plugin(limit: int = 16) -> Plugin:
    return Plugin(PromptSpec("accuracy", 0, 5, {"max_tokens": limit, "temperature": 0}), "openai/m")


@pytest.mark.parametrize(("limit", "longer"), [(16, 512), (200, 800)])
def test_a_cut_reply_is_asked_for_once_more_with_a_larger_limit(limit: int, longer: int) -> None:
    asks = plugin(limit)
    first = asks.request(ROW)
    grade = asks.read(Reply("4.", "m", finish_reason="length"))
    assert (grade.score, grade.reason) == (None, "cut")
    second = asks.follow_up(first, grade, 1)
    assert second is not None
    assert second.messages == first.messages
    assert second.parameters == {"max_tokens": longer, "temperature": 0}
    assert asks.follow_up(first, grade, 2) is None


def test_the_same_text_that_ended_by_itself_is_a_score() -> None:
    assert plugin().read(Reply("4.", "m", finish_reason="stop")).score == 4
    assert plugin().read(Reply("4.", "m")).score == 4


def test_the_key_of_a_request_is_that_of_the_first_version() -> None:
    # A ledger that was written by an earlier version has the same keys, so its replies are used without a call.
    key = "fb7af39554fa3b32da30e827d7e60820ae58ff9a199873c083e5812538dba842"
    asks = Plugin(PromptSpec("accuracy", 0, 5, {"max_tokens": 16, "temperature": 0.0}), "openai/m")
    assert request_key(asks.request(ROW)) == key


@pytest.mark.parametrize(
    ("place", "demand"),
    [
        ("first_line", "Your reply must begin with the score, a number from 0 to 5."),
        ("last_line", "Your reply must end with the score on a line of its own, a number from 0 to 5."),
        ("json", 'Your reply must be JSON with the key "score", a number from 0 to 5.'),
        (r"^V: (.+)$", "Your reply must have the score in the form that was asked for, a number from 0 to 5."),
    ],
)
def test_a_follow_up_asks_for_the_score_where_it_is_read(place: str, demand: str) -> None:
    asks = Plugin(PromptSpec("accuracy", 0, 5, {"max_tokens": 16}, reply=place), "openai/m")
    grade = asks.read(Reply("The response is right.", "m"))
    second = asks.follow_up(asks.request(ROW), grade, 1)
    assert second is not None
    assert second.messages[-1][1].endswith(demand)
