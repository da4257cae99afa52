"""The assistant turns of a conversation, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alpaqual.conversation.normal_form import Conversation
from alpaqual.conversation.tool_calls import Turn


def learned_indexes(messages: Sequence[Turn]) -> list[int]:
    """Index of each assistant turn with a weight above 0."""
    return [index for index, turn in enumerate(messages) if turn["role"] == "assistant" and turn.get("weight", 1) > 0]


def learned_turns(conversation: Conversation) -> Iterator[tuple[int, Conversation]]:
    """Each assistant turn with a weight above 0: its number, from 1, and the conversation that ends with it."""
    for index in learned_indexes(conversation.messages):
        yield index + 1, Conversation(conversation.messages[: index + 1], conversation.tools)
