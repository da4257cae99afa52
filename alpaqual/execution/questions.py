"""A row of a test set as a question: which columns make it up, and what they may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alpaqual.conversation.json_values import ConversationError, kind_of, parsed
from alpaqual.conversation.normal_form import normalise
from alpaqual.conversation.rendering import instruction_of, last_assistant, response_of
from alpaqual.values import Question, replace_surrogates

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "instruction": ("instruction", "question", "prompt", "query", "text", "turns"),
    "messages": ("messages", "conversations", "conversation"),
    "input": ("input", "context"),
    "id": ("id", "question_id", "idx", "uid", "key"),
    "category": ("category",),
    "skill": ("skill",),
    "reference": ("reference", "reference_answer"),
}
"""Names of columns, in any case of their letters, that are what a field says, the likeliest first."""
_GROUPS: Final = ("category", "skill")
_ASKED: Final = frozenset({"instruction", "messages"})


class QuestionError(ValueError):
    """Says why a row is no question that can be asked."""


@dataclass(frozen=True)
class Columns:
    """The column, or a path into it such as `a.0.b`, of each part of a question; `notes` say what is left out of it."""

    paths: Mapping[str, str]
    notes: tuple[str, ...] = ()


def columns_of(given: Mapping[str, str], known: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Columns:
    """The columns of a question: those `given` by the recipe, else those `known` of a test set that are there, else by name.

    Raises ValueError where nothing says what is asked.
    """
    there = list(dict.fromkeys(column for row in rows for column in row))
    sought = [field for field in _NAMES if field not in given and (not known or field in known)]
    if _ASKED & given.keys():
        sought = [field for field in sought if field not in _ASKED]
    found = dict(given)
    for field in sought:
        column = _likeliest(field, known.get(field), there)
        if column is not None and column not in found.values():
            found[field] = column
    if not _ASKED & found.keys():
        columns = ", ".join(there[:20])
        message = "no column is known to be a question: name it, such as 'fields: {instruction: …}'"
        raise ValueError(f"{message}; there are: {columns}")
    if "instruction" in found and "messages" not in given:
        # Beside a question, turns are most often its answers.
        found.pop("messages", None)
    more = sum(_later_turns(_value(row, found.get("instruction", ""))) for row in rows)
    note = f"{more:,} of {len(rows):,} questions have further turns, which are not asked: the first one is answered and judged"
    return Columns(found, (note,) if more else ())


def _likeliest(field: str, known: str | None, there: Sequence[str]) -> str | None:
    """The known path of a field where its column is there, else the column whose name says the field."""
    if known is not None and (known in there or known.partition(".")[0] in there):
        return known
    named = {column.lower(): column for column in reversed(there)}
    return next((named[name] for name in _NAMES[field] if name in named), None)


def question_of(row: Mapping[str, Any], columns: Columns, number: int) -> Question:
    """The question of a row; `number` is its id where it has none. Raises QuestionError."""
    paths = columns.paths
    if "messages" in paths:
        instruction, messages, reference = _conversation(_value(row, paths["messages"]))
        given = ""
    else:
        value = _value(row, paths["instruction"])
        if _are_turns(value):
            instruction, messages, reference = _conversation(value)
        else:
            instruction, messages, reference = _asked(value), (), ""
        given = _text(_value(row, paths.get("input", "")), "the input")
    if not instruction.strip():
        raise QuestionError("the question is empty")
    named = _text(_first(_value(row, paths.get("reference", ""))), "the reference")
    name = _label(_value(row, paths.get("id", "")), "the id") or str(number)
    groups = [(kind, _label(_value(row, paths.get(kind, "")), f"the {kind}")) for kind in _GROUPS]
    return Question(
        id=name,
        instruction=instruction,
        input=given,
        groups=tuple((kind, group) for kind, group in groups if group),
        reference=named or reference,
        messages=messages,
    )


def _value(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or inside it; None where there is none."""
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _asked(value: Any) -> str:
    """The text of a question: a text, or the first of a list of turns."""
    value = _first(value)
    if isinstance(value, Mapping) and isinstance(value.get("content"), str):
        value = value["content"]
    if not isinstance(value, str):
        raise QuestionError(f"the question is {kind_of(value)} where a text should be")
    return replace_surrogates(value)


def _first(value: Any) -> Any:
    """The first of a list; None of an empty one."""
    return next(iter(value), None) if isinstance(value, list | tuple) else value


def _later_turns(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 1 and not _are_turns(value)


def _are_turns(value: Any) -> bool:
    """Whether a value is a list of turns with roles."""
    found = value if isinstance(value, list | tuple) else ()
    return bool(found) and all(isinstance(turn, Mapping) and {"role", "from"} & turn.keys() for turn in found)


def _conversation(value: Any) -> tuple[str, tuple[tuple[str, str], ...], str]:
    """What is asked in words, the turns before the answer, and the answer, where the turns end with one."""
    if isinstance(value, str):
        value = _turns_of(value)
    if not _are_turns(value):
        raise QuestionError(f"the messages are {kind_of(value)} where a list of turns with roles should be")
    ends = [str(turn.get("role", turn.get("from"))).lower() for turn in value]
    answered = ends[-1] in ("assistant", "gpt", "chatgpt")
    turns = [dict(turn) for turn in value] + ([] if answered else [{"role": "assistant", "content": ""}])
    try:
        found = normalise(turns)
    except ConversationError as error:
        # What follows is about sources of rows.
        raise QuestionError(str(error).partition("; if it means")[0]) from None
    asked = found.messages[: last_assistant(found.messages)]
    if not any(turn["role"] == "user" for turn in asked):
        raise QuestionError("the messages have no user turn to answer")
    if any("tool_calls" in turn or turn["role"] == "tool" for turn in found.messages):
        raise QuestionError("the messages call tools, and answers to such conversations are not asked for")
    messages = tuple((_role(turn["role"]), replace_surrogates(str(turn["content"]))) for turn in asked)
    instruction = replace_surrogates(instruction_of(found))
    lone = len(messages) == 1
    return instruction, () if lone else messages, response_of(found) if answered else ""


def _turns_of(text: str) -> Any:
    """The turns of a JSON text, as CSV has them."""
    try:
        return parsed(text, "the messages")
    except ConversationError as error:
        raise QuestionError(str(error)) from None


def _role(role: str) -> str:
    return "system" if role == "developer" else role


def _text(value: Any, what: str) -> str:
    """A text that may be missing."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise QuestionError(f"{what} is {kind_of(value)} where a text should be")
    return replace_surrogates(value)


def _label(value: Any, what: str) -> str:
    """A name: a text or a number; empty where it is missing."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise QuestionError(f"{what} is {kind_of(value)} where a text or a number should be")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return replace_surrogates(str(value)).strip()
