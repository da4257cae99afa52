"""A conversation as text: what rules, categories and graders read."""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.conversation.normal_form import Conversation
from alpaqual.conversation.tool_calls import Turn


def last_assistant(messages: Sequence[Turn]) -> int:
    """Index of the last assistant turn; a conversation in the normal form has one."""
    return max(index for index, turn in enumerate(messages) if turn["role"] == "assistant")


def instruction_of(conversation: Conversation) -> str:
    """The turns before the last assistant turn; a lone user turn is its text itself."""
    before = conversation.messages[: last_assistant(conversation.messages)]
    if len(before) == 1 and before[0]["role"] == "user":
        return str(before[0]["content"])
    return turns_text(before)


def response_of(conversation: Conversation) -> str:
    """The last assistant turn: its text, then its tool calls."""
    return body_of(conversation.messages[last_assistant(conversation.messages)])


def transcript(conversation: Conversation, until: int | None = None) -> str:
    """The turns with their roles, tool calls and results: all, or those before the index `until`."""
    return turns_text(conversation.messages[:until])


def body_of(turn: Turn) -> str:
    """The text of a turn, then a line for each tool call."""
    calls = [
        f"Call of {call['function']['name']}: {call['function']['arguments']}" for call in turn.get("tool_calls", ())
    ]
    return "\n".join([turn["content"], *calls] if turn["content"] else calls)


def turns_text(messages: Sequence[Turn]) -> str:
    """Turns with their roles, tool calls and results, a blank line between two."""
    called = {call["id"]: call["function"]["name"] for turn in messages for call in turn.get("tool_calls", ())}
    return "\n\n".join(f"{_speaker(turn, called)}: {body_of(turn)}" for turn in messages)


def _speaker(turn: Turn, called: dict[str, str]) -> str:
    role: str = turn["role"].capitalize()
    tool = turn.get("name") or called.get(turn.get("tool_call_id", ""))
    return f"{role} ({tool})" if turn["role"] == "tool" and tool else role
