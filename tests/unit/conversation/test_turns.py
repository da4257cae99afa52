"""Turns one by one: which are graded, and what a row's grade becomes of theirs."""

from __future__ import annotations

from typing import Any

import pytest

from alpaqual.conversation.normal_form import Conversation
from alpaqual.conversation.turns import learned_turns
from alpaqual.execution.graded_items import combined
from alpaqual.values import Grade

ASK, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}


def test_a_turn_of_weight_0_is_not_graded() -> None:
    turns: list[dict[str, Any]] = [ASK, {**ANSWER, "weight": 0}, ASK, {**ANSWER, "weight": 0.5}, ASK, ANSWER, ASK]
    found = list(learned_turns(Conversation(turns, [{"name": "f"}])))
    assert [number for number, _ in found] == [4, 6]
    assert [part.messages for _, part in found] == [turns[:4], turns[:6]]
    assert all(part.tools == [{"name": "f"}] for _, part in found)


NONE, LATER = Grade(None, "refusal"), Grade(None, "timeout", retry=True)


@pytest.mark.parametrize(
    ("how", "grades", "wanted"),
    [
        ("min", [Grade(4, reply="x"), Grade(2, reply="y"), Grade(2, reply="z")], Grade(2, reply="y")),
        ("mean", [Grade(4, reply="x"), Grade(2), Grade(2)], Grade(2.666666667)),
        ("last", [Grade(1), Grade(2), Grade(3, reply="z")], Grade(3, reply="z")),
        ("last", [NONE, Grade(3)], Grade(3)),
        ("last", [Grade(3), NONE], NONE),
        ("min", [Grade(1), NONE, LATER], Grade(None, "refusal", retry=True)),
        ("mean", [Grade(1), NONE], NONE),
    ],
)
def test_the_grade_of_a_row(how: str, grades: list[Grade], wanted: Grade) -> None:
    assert combined(grades, how) == wanted
