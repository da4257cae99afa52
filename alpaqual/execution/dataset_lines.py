"""JSON lines of a dataset in another format. What does not change stays as its text is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from alpaqual.conversation.json_members import members

_TEXTS = ("instruction", "input", "output")


class FormatError(ValueError):
    """A row that a format cannot hold."""


def as_alpaca(line: str) -> str:
    """The line with instruction, input and output.

    Raises FormatError for a conversation with more than a question and its answer.
    """
    if '"messages"' not in line:
        return line
    found = {key: value for key, value, _ in members(line)}
    if not _is_conversation(found):
        return line
    turns = found["messages"]
    plain = all(turn.keys() <= {"role", "content", "weight"} and isinstance(turn["content"], str) for turn in turns)
    answered = plain and [turn["role"] for turn in turns] == ["user", "assistant"] and turns[1].get("weight", 1)
    if not answered or "tools" in found:
        raise FormatError
    texts = {"instruction": turns[0]["content"], "input": "", "output": turns[1]["content"]}
    return _replaced(line, "messages", {key: json.dumps(text, ensure_ascii=False) for key, text in texts.items()})


def as_messages(line: str) -> str:
    """The line with messages: instruction and input are a user turn, the output is the assistant's."""
    found = json.loads(line)
    if _is_conversation(found):
        return line
    question = found["instruction"] + (f"\n\n{found['input']}" if found["input"] else "")
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": found["output"]}]
    if found.keys() <= {*_TEXTS, "id"} and isinstance(found["id"], str):
        return json.dumps({"id": found["id"], "messages": turns}, ensure_ascii=False, separators=(",", ":"))
    text = json.dumps(turns, ensure_ascii=False, separators=(",", ":"))
    return _replaced(line, "instruction", {"messages": text}, left_out=("input", "output"))


def _is_conversation(row: Mapping[str | None, Any]) -> bool:
    """Whether a row is a conversation: columns that are kept follow its own keys, and may have any name."""
    return next(key for key in row if key not in ("id", "row_id")) == "messages"


def _replaced(line: str, key: str, new: Mapping[str, str], left_out: tuple[str, ...] = ()) -> str:
    pairs: list[tuple[str, str]] = []
    for name, _, text in members(line):
        if name == key:
            pairs += new.items()
        elif name not in left_out:
            pairs.append((str(name), text))
    return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{text}" for name, text in pairs) + "}"


FORMATS: Mapping[str, Callable[[str], str]] = {"alpaca": as_alpaca, "messages": as_messages}
"""By the name of the format in a recipe."""
REFUSED = (
    "are conversations that instruction, input and output cannot hold; leave 'format' out, or write 'format: messages'"
)
"""What is said of rows that are refused."""
