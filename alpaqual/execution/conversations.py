"""Puts the conversations of a scanned table into the normal form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from alpaqual.contracts import Engine
from alpaqual.conversation.findings import findings_of
from alpaqual.conversation.json_values import ConversationError, parsed
from alpaqual.conversation.layouts import conversation_of
from alpaqual.conversation.normal_form import KNOWN_ROLES, known_role
from alpaqual.conversation.rendering import instruction_of, response_of
from alpaqual.plan.conversations import NO_TURNS, ConversationReading, too_long

_BATCH = 5_000

_Cells = Sequence[str | int | None]


def fill_turns(engine: Engine, reading: ConversationReading, what: str) -> None:
    """Make the table of conversations from the scanned one."""
    engine.create(reading.table.name, NO_TURNS, what)
    plain = PlainReader(reading)
    for batch in engine.rows(reading.query, _BATCH):
        rows = [plain.row(*row) or turned_row(reading, *row) for row in batch]
        engine.insert(reading.table.name, rows, what)


class _Turn(msgspec.Struct, forbid_unknown_fields=True):
    """A turn of nothing but a role and a text, in either spelling."""

    role: str | None = None
    content: str | None = None
    speaker: str | None = msgspec.field(default=None, name="from")
    value: str | None = None


class PlainReader:
    """Reads one user turn and one assistant turn of nothing but text, several times as fast as `turned_row` does."""

    def __init__(self, reading: ConversationReading) -> None:
        self.most = reading.most
        self.roles = {**KNOWN_ROLES, **reading.roles}
        self.decode = msgspec.json.Decoder(list[_Turn]).decode
        self.messages = -1 if "completion" in reading.fields else _index(reading.fields, "messages")

    def row(self, position: int, *cells: str | None) -> _Cells | None:
        """The row that `turned_row` makes of these cells; None for cells of another kind."""
        given = None if self.messages < 0 else cells[self.messages]
        if given is None or cells.count(None) < len(cells) - 1:
            return None
        try:
            question, answer = self.decode(given)
        except ValueError:
            return None
        texts = (self.text(question, "user"), self.text(answer, "assistant"))
        if texts[0] is None or texts[1] is None or len(texts[0]) + len(texts[1]) > self.most:
            return None
        return (position, None, *texts, None, None, 2, "", None)

    def text(self, turn: _Turn, role: str) -> str | None:
        """The text of a turn of this role; None where it is blank, or where the turn is another."""
        if (turn.role is None) == (turn.speaker is None) or (turn.content is None) == (turn.value is None):
            return None
        content = turn.content or turn.value or ""
        found = known_role(turn.role or turn.speaker or "", self.roles)
        return content if found == role and content.strip() else None


def _index(fields: Sequence[str], field: str) -> int:
    return fields.index(field) if field in fields else -1


def turned_row(reading: ConversationReading, position: int, *cells: str | None) -> _Cells:
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
