"""The normal form of conversations: each layout's way of writing a turn, and each reason for the quarantine."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from alpaqual.conversation.finding_names import FINDINGS
from alpaqual.conversation.findings import findings_of
from alpaqual.conversation.json_schema import SCHEMA
from alpaqual.conversation.json_values import ConversationError
from alpaqual.conversation.normal_form import Conversation, normalise
from alpaqual.conversation.rendering import instruction_of, response_of, transcript

CALL = {"id": "t", "type": "function", "function": {"name": "convert", "arguments": '{"km": 2}'}}
TOOL = [
    {"role": "user", "content": "2 km in miles?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "1.24", "tool_call_id": "t"},
    {"role": "assistant", "content": "1.24 miles."},
]
ASK = {"role": "user", "content": "a"}
ANSWER = {"role": "assistant", "content": "b"}


def checked(*given: Any, **options: Any) -> Conversation:
    """Normalise, and hold the result to the schema and to itself."""
    found = normalise(*given, **options)
    whole = {"messages": found.messages, **({"tools": found.tools} if found.tools else {})}
    jsonschema.validate(whole, SCHEMA)
    assert normalise(found.messages, found.tools) == found
    return found


def test_openai_turns_stay_as_they_are() -> None:
    assert checked(TOOL).messages == TOOL
    assert checked(json.dumps(TOOL)).messages == TOOL


def test_sharegpt_calls_and_observations_are_paired_by_position() -> None:
    given = [
        {"from": "human", "value": "two things"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"x": "é"}}'},
        {"from": "function_call", "value": '{"name": "g", "arguments": "{}"}'},
        {"from": "observation", "value": "1"},
        {"from": "observation", "value": "2"},
        {"from": "gpt", "value": "done"},
    ]
    found = checked(given).messages
    assert [turn["role"] for turn in found] == ["user", "assistant", "assistant", "tool", "tool", "assistant"]
    assert found[1]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": "é"}'}}
    ]
    assert [found[3]["tool_call_id"], found[4]["tool_call_id"]] == ["call_1", "call_2"]
    assert findings_of(Conversation(found)) == []


def test_the_older_function_call_becomes_a_tool_call() -> None:
    given = [
        ASK,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        ANSWER,
    ]
    found = checked(given).messages
    assert found[1]["tool_calls"][0]["function"]["name"] == "f"
    assert found[2] == {"role": "tool", "content": "1", "tool_call_id": "call_1", "name": "f"}


def test_keys_come_in_one_order_and_others_stay() -> None:
    turn = {
        "weight": 0,
        "reasoning_content": "hm",
        "name": "x",
        "content": "b",
        "role": "Assistant",
        "tool_calls": None,
    }
    assert list(checked([ASK, turn]).messages[1].items()) == [
        ("role", "assistant"),
        ("content", "b"),
        ("name", "x"),
        ("weight", 0),
        ("reasoning_content", "hm"),
    ]


def test_parts_are_joined_and_others_named() -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "image_url", "image_url": {}}, "2+2?"]
    given = [{"role": "user", "content": parts}, ANSWER]
    with pytest.raises(ConversationError, match=r"turn 1, part 2 is of type 'image_url'.*other_parts"):
        normalise(given)
    assert checked(given, placeholder=True).messages[0]["content"] == "What is [image_url]2+2?"


def test_roles_are_mapped() -> None:
    given = [{"from": "human", "value": "a"}, {"from": "bing", "value": "b"}]
    with pytest.raises(ConversationError, match=r"turn 2: unknown role 'bing'.*roles: {bing: assistant}"):
        normalise(given)
    assert checked(given, roles={"bing": "assistant"}).messages == [ASK, ANSWER]
    with pytest.raises(ConversationError, match=r"'hummany'.*roles: {hummany: user}"):
        normalise([{"from": "hummany", "value": "a"}])


def test_system_and_tools_come_from_columns_too() -> None:
    found = checked([ASK, ANSWER], '[{"name": "f"}]', system="s")
    assert found.messages[0] == {"role": "system", "content": "s"}
    assert found.tools == [{"name": "f"}]
    assert checked([ASK, ANSWER], [], system="") == Conversation([ASK, ANSWER])


DEEP: Any = "x"
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (None, "messages is null"),
        ("hello", "messages: a text that is no JSON"),
        ("{}", "messages is an object"),
        ([], "no turns"),
        ([ASK], "no assistant turn"),
        ([3], "turn 1 is a number"),
        ([{"content": "a"}], "turn 1: no role"),
        ([{"role": 3, "content": "a"}], "turn 1: its role is a number"),
        ([{"role": "user"}, ANSWER], "turn 1: content is null"),
        ([{"role": "user", "content": {"text": "a"}}, ANSWER], "turn 1: content is an object"),
        ([{"role": "user", "content": [3]}, ANSWER], "turn 1, part 1 is a number"),
        ([{"role": "user", "content": [{"type": "text"}]}, ANSWER], "turn 1, part 1: its text is null"),
        ([{"role": "user", "content": [{}]}, ANSWER], "turn 1, part 1 has no type"),
        ([ASK, {**ANSWER, "tool_calls": 3}], "turn 2: tool_calls is a number"),
        ([ASK, {**ANSWER, "tool_calls": [{}]}], "turn 2: tool call 1: it has no name"),
        (
            [ASK, {**ANSWER, "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
            "tool call 1: arguments: a text",
        ),
        ([{**ASK, "tool_calls": [CALL]}, ANSWER], "turn 1: a tool call of the role user"),
        ([ASK, {**ANSWER, "weight": True}], "turn 2: weight is true or false"),
        ([ASK, {**ANSWER, "weight": float("nan")}], "turn 2: weight is below 0"),
        ([ASK, {**ANSWER, "name": 3}], "turn 2: name is a number"),
        ([{"role": "user", "content": "\ud800"}, ANSWER], "messages: a text with half a surrogate pair"),
        ([ASK, {**ANSWER, "other": float("inf")}], "messages: a value that JSON cannot hold"),
        ([ASK, {**ANSWER, "other": b"x"}], "messages: a value that JSON cannot hold"),
        ([ASK, {**ANSWER, "other": DEEP}], "messages: a value that JSON cannot hold"),
        ("[" * 100_000, "messages: a text that is no JSON"),
        ([{"from": "function_call", "value": "f()"}], "turn 1: tool_calls: a text that is no JSON"),
    ],
)
def test_what_the_normal_form_cannot_hold_has_a_reason(messages: Any, reason: str) -> None:
    with pytest.raises(ConversationError) as raised:
        normalise(messages)
    assert str(raised.value).startswith(reason) or reason in str(raised.value)
    assert len(str(raised.value)) < 250


def test_renderings() -> None:
    lone = normalise([ASK, ANSWER])
    assert (instruction_of(lone), response_of(lone), lone.plain) == ("a", "b", True)
    found = normalise(TOOL, system="Be brief.")
    assert instruction_of(found) == (
        'System: Be brief.\n\nUser: 2 km in miles?\n\nAssistant: Call of convert: {"km": 2}\n\nTool (convert): 1.24'
    )
    assert transcript(found) == f"{instruction_of(found)}\n\nAssistant: 1.24 miles."
    assert transcript(found, 2) == "System: Be brief.\n\nUser: 2 km in miles?"
    assert response_of(normalise(TOOL[:2])) == 'Call of convert: {"km": 2}'
    assert not found.plain


SYSTEM = {"role": "system", "content": "s"}


@pytest.mark.parametrize(
    ("messages", "findings"),
    [
        ([SYSTEM, SYSTEM, ASK, ANSWER], ["several_systems"]),
        ([ASK, SYSTEM, ANSWER], ["late_system"]),
        ([ASK, {"role": "tool", "content": "x"}, ANSWER], ["result_without_call"]),
        ([*TOOL[:2], ANSWER], ["call_without_result"]),
        (TOOL[:2], []),
        ([ASK, {**ANSWER, "content": " "}], ["empty_response"]),
        ([{**ASK, "content": ""}, ANSWER], ["empty_turn"]),
        ([ASK, ANSWER, ASK], ["other_end"]),
        ([ASK, ASK, ANSWER], ["repeated_role"]),
        ([SYSTEM, ANSWER], ["no_user"]),
        ([ASK, {**ANSWER, "weight": 0}], ["nothing_learned"]),
    ],
)
def test_findings(messages: Any, findings: list[str]) -> None:
    assert findings_of(normalise(messages)) == findings


def test_a_call_is_held_to_the_tools_of_the_row() -> None:
    assert findings_of(normalise(TOOL, [{"type": "function", "function": {"name": "convert"}}])) == []
    assert findings_of(normalise(TOOL, [{"name": "other"}])) == ["unknown_tool"]
    assert set(FINDINGS) >= {"unknown_tool"}
