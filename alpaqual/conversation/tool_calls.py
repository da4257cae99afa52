"""Tool calls and the tools of a conversation, in OpenAI's form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from alpaqual.conversation.json_values import ConversationError, json_text, kind_of, parsed

Turn = dict[str, Any]
"""One turn in the normal form."""


def calls_of(value: Any, place: str) -> list[dict[str, Any]]:
    """The tool calls of a turn: a list of calls, one call, or a JSON text of either. A call without an id has id None."""
    value = parsed(value, f"{place}: tool_calls") if isinstance(value, str) else value
    given = [value] if isinstance(value, dict) else value
    if not isinstance(given, list | tuple):
        raise ConversationError(f"{place}: tool_calls is {kind_of(value)} where a list should be")
    return [_call(call, f"{place}: tool call {number}") for number, call in enumerate(given, 1)]


def _call(call: Any, place: str) -> dict[str, Any]:
    call = parsed(call, place) if isinstance(call, str) else call
    if not isinstance(call, dict):
        raise ConversationError(f"{place} is {kind_of(call)} where an object should be")
    function = call.get("function")
    others = _others(call, _KEYS)
    if function is None:
        function, others = {key: value for key, value in call.items() if key not in ("id", "type")}, {}
    if not isinstance(function, dict):
        raise ConversationError(f"{place}: function is {kind_of(function)} where an object should be")
    kind, identity, called = call.get("type"), call.get("id"), function.get("name")
    if kind not in (None, "function"):
        raise ConversationError(f"{place}: its type is not function")
    if not isinstance(called, str) or not called:
        raise ConversationError(f"{place}: it has no name of a function")
    if identity is not None and not isinstance(identity, str):
        raise ConversationError(f"{place}: id is {kind_of(identity)} where a text should be")
    arguments = _arguments(function.get("arguments"), place)
    return {
        "id": identity or None,
        "type": "function",
        "function": {"name": called, "arguments": arguments, **_others(function, _FUNCTION_KEYS)},
        **others,
    }


def _others(given: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None and key not in known}


def _arguments(arguments: Any, place: str) -> str:
    if arguments is None:
        return "{}"
    if isinstance(arguments, dict):
        return json_text(arguments, f"{place}: arguments")
    if not isinstance(arguments, str):
        raise ConversationError(f"{place}: arguments is {kind_of(arguments)} where an object should be")
    found = parsed(arguments, f"{place}: arguments")
    if not isinstance(found, dict):
        raise ConversationError(f"{place}: arguments is {kind_of(found)} where an object should be")
    return arguments


def tools_of(value: Any) -> list[dict[str, Any]] | None:
    """The tools of a row: a list of objects or its JSON text; None where there are none."""
    if isinstance(value, str):
        value = parsed(value, "tools") if value.strip() else None
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        raise ConversationError(f"tools is {kind_of(value)} where a list should be")
    tools = [parsed(tool, f"tool {number}") if isinstance(tool, str) else tool for number, tool in enumerate(value, 1)]
    for number, tool in enumerate(tools, 1):
        if not isinstance(tool, dict):
            raise ConversationError(f"tool {number} is {kind_of(tool)} where an object should be")
    return tools or None


def tool_names(tools: Iterable[dict[str, Any]]) -> set[str]:
    """Names of the tools of a row, described as {function: {name}} or as {name}."""
    found = (tool["function"] if isinstance(tool.get("function"), dict) else tool for tool in tools)
    return {each["name"] for each in found if isinstance(each.get("name"), str)}


def pair(turns: Iterable[Turn]) -> None:
    """Give calls without an id the ids call_1, call_2, …, and results without one the id of the call they follow.

    Results answer the calls before them in order. A turn of another kind ends the waiting of calls.
    """
    turns = list(turns)
    used = {call["id"] for turn in turns for call in turn.get("tool_calls", ())}
    waiting: list[str] = []
    number = 0
    for turn in turns:
        calls = turn.get("tool_calls", ())
        if turn["role"] != "tool" and not calls:
            waiting = []
        for call in calls:
            while call["id"] is None:
                number += 1
                call["id"] = f"call_{number}" if f"call_{number}" not in used else None
            waiting.append(call["id"])
        if turn["role"] == "tool":
            _answer(turn, waiting)


def _answer(turn: Turn, waiting: list[str]) -> None:
    if "tool_call_id" in turn:
        if turn["tool_call_id"] in waiting:
            waiting.remove(turn["tool_call_id"])
    elif waiting:
        turn["tool_call_id"] = waiting.pop(0)


_KEYS = frozenset({"id", "type", "function"})
_FUNCTION_KEYS = frozenset({"name", "arguments"})
