"""What a dataset file has of each row: its keys in their order, with the SQL of each value over the table `rows`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from alpaqual.quote import literal, name


@dataclass(frozen=True)
class DatasetColumn:
    """One key of a dataset's rows."""

    key: str
    value: str
    """SQL: the value; with `json`, its JSON text."""
    json: bool = False
    """Whether the value is JSON text: a list, an object, or of a type that differs from row to row."""
    only: str = ""
    """SQL: whether a row has the key at all; every row where it is empty."""

    @property
    def json_text(self) -> str:
        """SQL: the value as JSON text; NULL where a row lacks the key."""
        text = self.value if self.json else f"CAST(TO_JSON({self.value}) AS VARCHAR)"
        found = f"COALESCE({text}, 'null')"
        return f"CASE WHEN {self.only} THEN {found} END" if self.only else found


ROW_ID = DatasetColumn("id", "rows.id")
_TRIPLE = (("instruction", "instruction"), ("input", "COALESCE(input, '')"), ("output", "response"))


def dataset_columns(*, conversations: bool = False) -> tuple[DatasetColumn, ...]:
    """The columns of datasets; with `conversations`, some rows may be conversations."""
    only = "messages IS NULL" if conversations else ""
    found = [ROW_ID, *(DatasetColumn(key, value, only=only) for key, value in _TRIPLE)]
    if conversations:
        found.append(DatasetColumn("messages", "messages", json=True, only="messages IS NOT NULL"))
        found.append(DatasetColumn("tools", "tools", json=True, only="tools IS NOT NULL"))
    return tuple(found)


def are_plain(columns: Sequence[DatasetColumn]) -> bool:
    """Whether every row has every column, of one type: a table holds them as they are."""
    return not any(column.json or column.only for column in columns)


def selected(columns: Sequence[DatasetColumn]) -> str:
    """SQL of the columns of a query, each under its key."""
    return ", ".join(f"{column.value} AS {name(column.key)}" for column in columns)


def line(columns: Sequence[DatasetColumn]) -> str:
    """SQL: the JSON line of a row. JSON texts are put in as they are, so that no number and no key changes."""
    keys = (literal(f"{json.dumps(column.key, ensure_ascii=False)}:") for column in columns)
    pairs = (f"{key} || {column.json_text}" for key, column in zip(keys, columns, strict=True))
    return f"CONCAT('{{', CONCAT_WS(',', {', '.join(pairs)}), '}}')"
