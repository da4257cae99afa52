"""What is wrong with some conversations: records that the normal form cannot hold, and turns that a model should not learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Turn = dict[str, Any]
Tools = list[dict[str, Any]] | None

_IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
_CALL = {"id": "call_x", "type": "function", "function": {"name": "calculate", "arguments": '{"a": 1'}}


def _first_user(turns: list[Turn], content: Any) -> list[Turn]:
    place = next(place for place, turn in enumerate(turns) if turn["role"] == "user")
    return [*turns[:place], {**turns[place], "content": content}, *turns[place + 1 :]]


FAULTY: dict[str, Callable[[list[Turn]], Any]] = {
    "unknown role 'narrator'": lambda turns: [{"role": "narrator", "content": "Once upon a time"}, *turns],
    "is of type 'image_url', which is no text": lambda turns: _first_user(
        turns, [_IMAGE, {"type": "text", "text": "a"}]
    ),
    "content is a number": lambda turns: _first_user(turns, 7),
    "content is null": lambda turns: _first_user(turns, None),
    "no assistant turn": lambda turns: [turn for turn in turns if turn["role"] == "user"],
    "no turns": lambda turns: [],
    "messages is null": lambda turns: None,
    "messages: a text that is no JSON": lambda turns: "[{",
    "arguments: a text that is no JSON": lambda turns: [
        *turns,
        {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    ],
    "weight is below 0": lambda turns: [*turns[:-1], {**turns[-1], "weight": -1}],
}
"""Words of the reason for the quarantine, and what damages a conversation in that way."""

_SYSTEM = {"role": "system", "content": "Answer as a pirate."}
_ASK = {"role": "user", "content": "And what is 2 + 2?"}
_SUM = {
    "id": "call_sum",
    "type": "function",
    "function": {"name": "sum_up", "arguments": "{}"},
}


def _without_system(turns: list[Turn]) -> list[Turn]:
    return turns[1:] if turns[0]["role"] == "system" else turns


def _unlearned(turns: list[Turn]) -> list[Turn]:
    return [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in turns]


FLAWED: dict[str, Callable[[list[Turn], Tools], tuple[list[Turn], Tools]]] = {
    "one_system_turn": lambda turns, tools: ([_SYSTEM, _SYSTEM, *_without_system(turns)], tools),
    "system_turn_first": lambda turns, tools: ([*_without_system(turns)[:-1], _SYSTEM, turns[-1]], tools),
    "result_has_call": lambda turns, tools: ([*turns[:-1], {"role": "tool", "content": "4"}, turns[-1]], tools),
    "call_has_result": lambda turns, tools: (
        [*turns, _ASK, {"role": "assistant", "content": None, "tool_calls": [_SUM]}, _ASK, turns[-1]],
        None,
    ),
    "known_tool": lambda turns, tools: (
        [*turns, _ASK, {"role": "assistant", "content": None, "tool_calls": [_SUM]}],
        [*(tools or []), {"type": "function", "function": {"name": "other"}}],
    ),
    "response_has_text": lambda turns, tools: ([*turns[:-1], {**turns[-1], "content": " "}], tools),
    "turns_have_text": lambda turns, tools: ([{"role": "user", "content": ""}, turns[-1], *_asked(turns)], tools),
    "assistant_last": lambda turns, tools: ([*turns, _ASK], tools),
    "turns_alternate": lambda turns, tools: ([*turns, _ASK, _ASK, turns[-1]], tools),
    "user_asks": lambda turns, tools: ([_SYSTEM, turns[-1]], tools),
    "something_learned": lambda turns, tools: (_unlearned(turns), tools),
}
"""A rule of the pack `conversations`, and what makes a conversation fail it, and no other rule of the pack."""


def _asked(turns: list[Turn]) -> list[Turn]:
    return [_ASK, turns[-1]]
