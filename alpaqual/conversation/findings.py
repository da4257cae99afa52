"""What a conversation in the normal form has that a model should not learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from alpaqual.conversation.finding_names import FINDINGS
from alpaqual.conversation.normal_form import Conversation
from alpaqual.conversation.rendering import last_assistant
from alpaqual.conversation.tool_calls import Turn, tool_names

_REPEATED: Final = frozenset({("user", "user"), ("assistant", "assistant"), ("assistant", "call")})
_SYSTEM: Final = frozenset({"system", "developer"})


def findings_of(conversation: Conversation) -> list[str]:
    """Names of the findings of a conversation, in the order of FINDINGS."""
    if conversation.plain:
        return [finding for finding in ("empty_response", "empty_turn") if finding in _of_texts(conversation.messages)]
    found = {*_of_roles(conversation.messages), *_of_texts(conversation.messages), *_of_tools(conversation)}
    return [finding for finding in FINDINGS if finding in found]


def _of_roles(messages: Sequence[Turn]) -> Iterator[str]:
    roles = [turn["role"] for turn in messages]
    systems = [index for index, role in enumerate(roles) if role in _SYSTEM]
    if len(systems) > 1:
        yield "several_systems"
    if systems and systems != list(range(len(systems))):
        yield "late_system"
    if roles[-1] != "assistant":
        yield "other_end"
    if "user" not in roles:
        yield "no_user"
    # Calls of several tools may be a turn each.
    speakers = ["call" if "tool_calls" in turn else turn["role"] for turn in messages]
    if any((role, after) in _REPEATED for role, after in pairwise(speakers)):
        yield "repeated_role"
    if not any(turn["role"] == "assistant" and turn.get("weight", 1) > 0 for turn in messages):
        yield "nothing_learned"


def _of_texts(messages: Sequence[Turn]) -> Iterator[str]:
    last = last_assistant(messages)
    for index, turn in enumerate(messages):
        # The result of a tool may be empty.
        if turn["role"] != "tool" and not (turn["content"] or "").strip() and not turn.get("tool_calls"):
            yield "empty_response" if index == last else "empty_turn"


def _of_tools(conversation: Conversation) -> Iterator[str]:
    messages = conversation.messages
    known = None if conversation.tools is None else tool_names(conversation.tools)
    waiting: list[str] = []
    for turn in messages:
        calls = turn.get("tool_calls", ())
        if turn["role"] == "tool":
            if turn.get("tool_call_id") in waiting:
                waiting.remove(turn["tool_call_id"])
            else:
                yield "result_without_call"
        elif not calls and waiting:
            yield "call_without_result"
            waiting = []
        waiting += [call["id"] for call in calls]
        if any(known is not None and call["function"]["name"] not in known for call in calls):
            yield "unknown_tool"
    last = {call["id"] for call in messages[-1].get("tool_calls", ())}
    if any(identity not in last for identity in waiting):
        yield "call_without_result"
