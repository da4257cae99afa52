"""The assistant turns of a conversation, one by one."""

from __future__ import annotations

from collections.abc import Iterator

from alpaqual.conversation.normal_form import Conversation


def learned_turns(conversation: Conversation) -> Iterator[tuple[int, Conversation]]:
    """Each assistant turn with a weight above 0: its number, from 1, and the conversation that ends with it."""
    for index, turn in enumerate(conversation.messages):
        if turn["role"] == "assistant" and turn.get("weight", 1) > 0:
            yield index + 1, Conversation(conversation.messages[: index + 1], conversation.tools)
