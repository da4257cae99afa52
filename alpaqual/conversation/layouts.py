"""The layouts in which files write a conversation: turns, turns and a completion, texts with a history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpaqual.conversation.json_values import ConversationError, kind_of, parsed
from alpaqual.conversation.normal_form import Conversation, normalise


def conversation_of(
    cells: Mapping[str, Any], roles: Mapping[str, str] | None = None, *, placeholder: bool = False
) -> Conversation:
    """The conversation of a record, given by field.

    Fields are messages, tools and system; messages (or a text) and completion; or instruction, input, response, history,
    tools and system. Raises ConversationError.
    """
    if "completion" in cells:
        turns: Any = [*_turns(cells, "messages", "user"), *_turns(cells, "completion", "assistant")]
    elif "messages" in cells:
        turns = cells["messages"]
    else:
        turns = [*_history(cells.get("history")), *_last_turns(cells)]
    return normalise(turns, cells.get("tools"), system=cells.get("system"), roles=roles, placeholder=placeholder)


def _turns(cells: Mapping[str, Any], field: str, role: str) -> list[Any]:
    """Turns as they are; a text is one turn of this role."""
    value = cells.get(field)
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list):
        raise ConversationError(f"{field} is {kind_of(value)} where a text or a list of turns should be")
    return value


def _history(value: Any) -> list[Any]:
    """Turns of a list of [question, answer] pairs."""
    if isinstance(value, str) and value.strip():
        value = parsed(value, "history")
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise ConversationError(f"history is {kind_of(value)} where a list of pairs should be")
    turns: list[Any] = []
    for number, pair in enumerate(value, 1):
        if isinstance(pair, dict):
            turns.append(pair)
        elif isinstance(pair, list) and len(pair) == len(_PAIR):
            turns += [{"role": role, "content": text} for role, text in zip(_PAIR, pair, strict=True)]
        else:
            raise ConversationError(
                f"history, pair {number}: it is {kind_of(pair)} of another form than [question, answer]"
            )
    return turns


def _last_turns(cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The question, its input on a new line, and the answer."""
    for field in ("instruction", "response"):
        if not isinstance(cells.get(field), str):
            raise ConversationError(f"{field} is {kind_of(cells.get(field))} where a text should be")
    given = cells.get("input")
    if given is not None and not isinstance(given, str):
        raise ConversationError(f"input is {kind_of(given)} where a text should be")
    question = "\n".join(text for text in (cells["instruction"], given) if text)
    return [{"role": "user", "content": question}, {"role": "assistant", "content": cells["response"]}]


_PAIR = ("user", "assistant")
