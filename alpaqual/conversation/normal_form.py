"""The normal form of a conversation: OpenAI's messages, one object a turn, and the row's tools."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from alpaqual.conversation.json_values import ConversationError, json_text, kind_of, parsed, quoted, require_utf8
from alpaqual.conversation.tool_calls import Turn, calls_of, pair, tools_of

NORMAL_FORM: Final = 1
"""Raised when the same record gives another conversation: part of fingerprints."""

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
"""The roles of the normal form."""

KNOWN_ROLES: Final[Mapping[str, str]] = {
    **{role: role for role in ROLES},
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "function": "tool",
    "observation": "tool",
    "function_call": "function_call",
}
"""Each role that files use, in lower case, with the role it means; `function_call` is an assistant turn that calls a tool."""

MAPPED_ROLES: Final = (*ROLES, "function_call")
"""What `roles` of a source may map a name to."""

_FIRST: Final = ("role", "content", "tool_calls", "tool_call_id", "name", "weight")
_CONSUMED: Final = frozenset({*_FIRST, "function_call"})
_COMPACT: Final = (",", ":")
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_PLAIN: Final = re.compile(r"[A-Za-z_][\w-]*\Z", re.ASCII)


@dataclass(frozen=True)
class Conversation:
    """A conversation in the normal form. `tools` is None where the row has none."""

    messages: list[Turn]
    tools: list[dict[str, Any]] | None = None

    @cached_property
    def messages_json(self) -> str:
        """The turns as a JSON text; raises ConversationError where JSON or UTF-8 cannot hold a value."""
        return json_text(self.messages, "messages", _COMPACT)

    @cached_property
    def tools_json(self) -> str | None:
        """The tools as a JSON text, or None; raises ConversationError as messages_json does."""
        return None if self.tools is None else json_text(self.tools, "tools", _COMPACT)

    @property
    def plain(self) -> bool:
        """Whether it is one user turn and one assistant turn of nothing but text: the same as a triple."""
        if self.tools is not None or len(self.messages) != 2:
            return False
        first, second = self.messages
        return (
            len(first) == 2 == len(second)
            and first["role"] == "user"
            and second["role"] == "assistant"
            and first["content"] is not None
            and second["content"] is not None
        )


def normalise(
    messages: Any,
    tools: Any = None,
    *,
    system: Any = None,
    roles: Mapping[str, str] | None = None,
    placeholder: bool = False,
) -> Conversation:
    """Put turns of any known layout into the normal form.

    `messages` is a list of turns ({role, content} or ShareGPT's {from, value}) or its JSON text, `system` a text that goes
    before them. `roles` maps names of roles to MAPPED_ROLES. With `placeholder`, a part that is no text becomes '[type]'.
    Raises ConversationError, whose text is a reason for the quarantine.
    """
    if isinstance(messages, str):
        messages = parsed(messages, "messages")
    if not isinstance(messages, list | tuple):
        raise ConversationError(f"messages is {kind_of(messages)} where a list of turns should be")
    reader = _TurnReader(roles or {}, placeholder)
    turns = [reader.turn(turn, f"turn {number}") for number, turn in enumerate(messages, 1)]
    turns = [*_system_turn(system, turns), *turns]
    if not any(turn["role"] == "assistant" for turn in turns):
        raise ConversationError("no assistant turn" if turns else "no turns")
    if any("tool_calls" in turn or turn["role"] == "tool" for turn in turns):
        pair(turns)
        turns = [_ordered(turn) for turn in turns]
    conversation = Conversation(turns, tools_of(tools))
    # Both texts are made here, so that a value that JSON cannot hold is a reason, not a crash later.
    if conversation.plain:
        require_utf8(turns[0]["content"], "messages")
        require_utf8(turns[1]["content"], "messages")
    else:
        _ = conversation.messages_json, conversation.tools_json
    return conversation


def _system_turn(system: Any, turns: list[Turn]) -> list[Turn]:
    if system is None or system == "":
        return []
    if not isinstance(system, str):
        raise ConversationError(f"system is {kind_of(system)} where a text should be")
    turn: Turn = {"role": "system", "content": system}
    return [] if turns and turns[0] == turn else [turn]


def _ordered(turn: Turn) -> Turn:
    return {**{str(key): turn[key] for key in _FIRST if key in turn}, **turn}


def known_role(given: str, roles: Mapping[str, str]) -> str | None:
    """What a name of a role means, in any case of its letters; None where `roles` lack it."""
    return roles.get(given) or roles.get(given.lower())


class _TurnReader:
    """Puts single turns into the normal form."""

    def __init__(self, roles: Mapping[str, str], placeholder: bool) -> None:
        self.roles = {**KNOWN_ROLES, **roles}
        self.placeholder = placeholder

    def turn(self, given: Any, place: str) -> Turn:
        """One turn; raises ConversationError, which names the place."""
        if not isinstance(given, dict):
            raise ConversationError(f"{place} is {kind_of(given)} where an object should be")
        sharegpt = given.get("role") is None and "from" in given
        role = self.role(given.get("from" if sharegpt else "role"), place)
        valued = given.get("content") is None and "value" in given
        content = given.get("value" if valued else "content")
        turn: Turn = {"role": role, "content": content}
        if role == "function_call":
            turn = {"role": "assistant", "content": None, "tool_calls": calls_of(content, place)}
            if not turn["tool_calls"]:
                raise ConversationError(f"{place}: a function_call without a call")
        elif not isinstance(content, str):
            turn["content"] = self.content(content, place)
        if len(given) > 2 or content is None:
            dropped = {"from"} if sharegpt else set()
            self.add_others(turn, given, place, dropped | ({"value"} if valued else set()))
        if turn["content"] is None and "tool_calls" not in turn:
            raise ConversationError(f"{place}: content is null where a text should be")
        return turn

    def role(self, given: Any, place: str) -> str:
        """The role of a turn in the normal form, or `function_call`."""
        if not isinstance(given, str):
            raise ConversationError(f"{place}: {'no role' if given is None else f'its role is {kind_of(given)}'}")
        role = known_role(given, self.roles)
        if role is None:
            close = difflib.get_close_matches(given.lower()[:40], KNOWN_ROLES, 1)
            meant = KNOWN_ROLES[close[0]] if close else "assistant"
            shown = given if _PLAIN.match(given) and len(given) <= 40 else quoted(given)
            raise ConversationError(
                f"{place}: unknown role {quoted(given)}; if it means {meant}, write 'roles: {{{shown}: {meant}}}' in the source"
            )
        return role

    def content(self, content: Any, place: str) -> str | None:
        """The text of a content that is null or a list of parts."""
        if content is None:
            return None
        if not isinstance(content, list | tuple):
            raise ConversationError(f"{place}: content is {kind_of(content)} where a text should be")
        return "".join(self.part(part, f"{place}, part {number}") for number, part in enumerate(content, 1))

    def part(self, part: Any, place: str) -> str:
        """The text of a part, or its placeholder."""
        if isinstance(part, str):
            return part
        if not isinstance(part, dict):
            raise ConversationError(f"{place} is {kind_of(part)} where a text should be")
        kind, text = part.get("type"), part.get("text")
        if (kind is None or (isinstance(kind, str) and kind in _TEXT_PARTS)) and isinstance(text, str):
            return text
        if not isinstance(kind, str):
            raise ConversationError(f"{place} has no type")
        if kind in _TEXT_PARTS:
            raise ConversationError(f"{place}: its text is {kind_of(text)} where a text should be")
        if self.placeholder:
            return f"[{kind}]"
        raise ConversationError(
            f"{place} is of type {quoted(kind)}, which is no text; 'other_parts: placeholder' puts [type] in its place"
        )

    def add_others(self, turn: Turn, given: Mapping[str, Any], place: str, dropped: set[str]) -> None:
        """Add tool calls, ids, names, weights and keys that are not ours; a null is an absent key."""
        if found := _calls_beside(turn, given, place):
            turn["tool_calls"] = found
        for key in ("tool_call_id", "name"):
            if (value := given.get(key)) is not None:
                if not isinstance(value, str):
                    raise ConversationError(f"{place}: {key} is {kind_of(value)} where a text should be")
                turn[key] = value
        if (weight := given.get("weight")) is not None:
            turn["weight"] = _weight(weight, place)
        for key, value in given.items():
            if not isinstance(key, str):
                raise ConversationError(f"{place}: a key is {kind_of(key)} where a text should be")
            if value is not None and key not in _CONSUMED and key not in dropped:
                turn[key] = value


def _calls_beside(turn: Turn, given: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    """Tool calls of the keys tool_calls and function_call, which is OpenAI's older one."""
    calls, legacy = given.get("tool_calls"), given.get("function_call")
    if (calls and legacy) or ((calls or legacy) and "tool_calls" in turn):
        raise ConversationError(f"{place}: tool calls in two forms")
    found = calls_of(legacy or calls, place) if legacy or calls else []
    if found and turn["role"] != "assistant":
        raise ConversationError(f"{place}: a tool call of the role {turn['role']}")
    return found


def _weight(weight: Any, place: str) -> int | float:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise ConversationError(f"{place}: weight is {kind_of(weight)} where a number should be")
    if not math.isfinite(weight) or weight < 0:
        raise ConversationError(f"{place}: weight is below 0 or not finite")
    return weight
