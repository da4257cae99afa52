"""A question of a test set as one text."""

from __future__ import annotations

from alpaqual.conversation.rendering import turns_text
from alpaqual.values import Question


def question_text(question: Question) -> str:
    """The instruction, a blank line and the input; of a conversation, its turns with their roles.

    A lone turn of the user is its text itself.
    """
    messages = question.messages
    if not messages:
        return "\n\n".join(part for part in (question.instruction, question.input) if part)
    if len(messages) == 1 and messages[0][0] == "user":
        return messages[0][1]
    return turns_text([{"role": role, "content": text} for role, text in messages])
