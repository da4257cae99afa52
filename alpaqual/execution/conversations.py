"""Puts the conversations of a scanned table into the normal form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.conversation.findings import findings_of
from alpaqual.conversation.json_values import ConversationError, parsed
from alpaqual.conversation.layouts import conversation_of
from alpaqual.conversation.rendering import instruction_of, response_of
from alpaqual.plan.conversations import NO_TURNS, ConversationReading, too_long

_BATCH = 5_000

_Cells = Sequence[str | int | None]


def fill_turns(engine: Engine, reading: ConversationReading, what: str) -> None:
    """Make the table of conversations from the scanned one."""
    engine.create(reading.table.name, NO_TURNS, what)
    for batch in engine.rows(reading.query, _BATCH):
        engine.insert(reading.table.name, [_row(reading, *row) for row in batch], what)


def _row(reading: ConversationReading, position: int, *cells: str | None) -> _Cells:
    """One row of the table: the conversation, or the problem why there is none."""
    try:
        found = conversation_of(dict(_values(reading, cells)), reading.roles, placeholder=reading.placeholder)
        plain = found.plain
        messages, tools = (None, None) if plain else (found.messages_json, found.tools_json)
    except ConversationError as error:
        return (position, str(error), None, None, None, None, None, None, None)
    texts = (instruction_of(found), response_of(found))
    if len(messages or "".join(texts)) + len(tools or "") > reading.most:
        return (position, too_long(reading.most), None, None, None, None, None, None, None)
    identity = None
    if messages is not None:
        identity = hashlib.sha256(f"{len(messages)}:{messages}{tools}".encode()).hexdigest()
    return (position, None, *texts, messages, tools, len(found.messages), ",".join(findings_of(found)), identity)


def _values(reading: ConversationReading, cells: Sequence[str | None]) -> Iterator[tuple[str, Any]]:
    """Each field with its value."""
    for field, cell in zip(reading.fields, cells, strict=True):
        value: Any = cell
        if cell is not None and field in reading.json:
            try:
                value = json.loads(cell)
            except (ValueError, RecursionError):
                value = parsed(cell, field)
            if reading.typed:
                value = _without_nulls(value)
        yield field, value


def _without_nulls(value: Any) -> Any:
    """Leave out keys that are null: a column of structs has every key in every row."""
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return value
