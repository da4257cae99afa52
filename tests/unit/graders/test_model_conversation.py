"""The slot [conversation] of a prompt."""

from __future__ import annotations

from alpaqual.graders._prompt_spec import PromptSpec
from alpaqual.graders.model import Plugin
from alpaqual.values import Row


def asked(row: Row) -> str:
    spec = PromptSpec("accuracy", 0, 5, {}, "Rate: [conversation]")
    return Plugin(spec, "m").request(row).messages[0][1]


def test_a_prompt_shows_all_turns_of_a_conversation() -> None:
    assert asked(Row("1", "a", "", "b", "System: s\n\nUser: a\n\nAssistant: b")) == (
        "Rate: System: s\n\nUser: a\n\nAssistant: b"
    )


def test_three_texts_are_two_turns() -> None:
    assert asked(Row("1", "a", "in", "b")) == "Rate: User: a\n\nin\n\nAssistant: b"
