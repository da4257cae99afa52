"""Which columns of a source make its rows: as a recipe says, or as their names and types tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from alpaqual.recipe.model import Fields, Source
from alpaqual.values import ROW_FIELDS

FIELDS: Final = (*ROW_FIELDS, "messages", "completion", "history", "system", "tools")
"""What a column of a source may be."""

_TRIPLES: Final[Mapping[str, Mapping[str, str]]] = {
    "alpaca": {"instruction": "instruction", "input": "input", "response": "output"},
    "gpt4llm": {"instruction": "instruction", "input": "input", "response": "output"},
    "dolly": {"instruction": "instruction", "input": "context", "response": "response"},
}
_TALKS: Final[Mapping[str, str]] = {"sharegpt": "conversations", "messages": "messages"}
_HISTORIES: Final[tuple[Mapping[str, str], ...]] = (
    {"instruction": "prompt", "input": "query", "response": "response"},
    {"instruction": "query", "response": "response"},
    {"instruction": "instruction", "input": "input", "response": "output"},
)
OPTIONAL: Final = frozenset({"input", "history", "system", "tools"})
"""Fields that a layout named in a recipe can do without."""
_NUMBERS: Final = frozenset({"BIGINT", "INTEGER", "HUGEINT", "UBIGINT", "DOUBLE", "FLOAT", "BOOLEAN"})

PREFERENCES: Final = (
    "'chosen' and 'rejected' are two answers of a preference, and a row has one: name the columns to learn from, such as "
    "'fields: {messages: chosen}' for turns, or 'fields: {instruction: prompt, response: chosen}' for texts"
)


def are_preferences(fields: Fields | str | None, columns: Mapping[str, str]) -> bool:
    """Whether the columns are those of preferences and the recipe names none of them."""
    return not isinstance(fields, Fields) and {"chosen", "rejected"} <= columns.keys()


def layout_of(fields: Fields | str | None, columns: Mapping[str, str]) -> dict[str, str] | None:
    """The column of each field; None where the names do not say. `columns` have their types."""
    if isinstance(fields, Fields):
        named = {field: column for field in FIELDS if (column := getattr(fields, field)) is not None}
        if named or fields.id is None:
            return named
    elif fields is not None:
        return _named(fields, columns)
    alpaca = _TRIPLES["alpaca"]
    if _has(alpaca, columns):
        # Beside the three texts, LLaMA-Factory writes the turns before them and the system's text.
        return {**_present(alpaca, columns), **_beside(columns, "history", "system")}
    if _has(_TRIPLES["dolly"], columns):
        return _present(_TRIPLES["dolly"], columns)
    for column in _TALKS.values():
        if column in columns:
            return {"messages": column, **_beside(columns, "system", "tools")}
    if {"prompt", "completion"} <= columns.keys():
        return _prompt_completion(columns)
    if (found := _with_history(columns)) is not None:
        return found
    own = {field: field for field in ROW_FIELDS if field in columns}
    return own if {"instruction", "response"} <= own.keys() else None


def own_id(source: Source, columns: Mapping[str, str], fields: Mapping[str, str]) -> str | None:
    """The column of the data's own ids; None where it has none."""
    if isinstance(source.fields, Fields) and source.fields.id is not None:
        return source.fields.id
    return "id" if "id" in columns and "id" not in fields.values() else None


def kept_columns(source: Source, columns: Mapping[str, str], fields: Mapping[str, str]) -> tuple[str, ...]:
    """The columns that datasets carry along, in the order written or in that of the data. `all`: those not in the row yet."""
    if source.keep != "all":
        return tuple(dict.fromkeys(source.keep))
    there = {*fields.values(), own_id(source, columns, fields)}
    return tuple(column for column in columns if column not in there)


def _named(layout: str, columns: Mapping[str, str]) -> dict[str, str]:
    """The columns of a layout that a recipe names, whether they are there or not."""
    if layout in _TRIPLES:
        return dict(_TRIPLES[layout])
    if layout in _TALKS:
        return {"messages": _TALKS[layout], **_beside(columns, "system", "tools")}
    if layout == "prompt_completion":
        return _prompt_completion(columns)
    # The field history makes it a conversation, also where the column is not there.
    return {**(_with_history(columns) or _HISTORIES[0]), "history": "history"}


def _with_history(columns: Mapping[str, str]) -> dict[str, str] | None:
    """Texts of the last turns, with what is there of a history, a system text and tools."""
    for texts in _HISTORIES:
        if _has(texts, columns):
            return {**_present(texts, columns), **_beside(columns, "history", "system", "tools")}
    return None


def _prompt_completion(columns: Mapping[str, str]) -> dict[str, str]:
    """Two texts, or turns in one of both."""
    if any(_nested(columns.get(column, "")) for column in ("prompt", "completion")):
        return {"messages": "prompt", "completion": "completion", **_beside(columns, "tools")}
    return {"instruction": "prompt", "response": "completion", **_beside(columns, "system")}


def _has(layout: Mapping[str, str], columns: Mapping[str, str]) -> bool:
    return all(column in columns for field, column in layout.items() if field != "input")


def _present(layout: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, str]:
    return {field: column for field, column in layout.items() if column in columns}


def _beside(columns: Mapping[str, str], *fields: str) -> dict[str, str]:
    """Columns of these names that can be what they are called."""
    return {field: field for field in fields if field in columns and columns[field] not in _NUMBERS}


def _nested(kind: str) -> bool:
    """Whether a column of this type holds lists or objects."""
    return kind == "JSON" or kind.endswith("]") or kind.startswith(("STRUCT", "MAP"))
