"""What a dataset file has of each row: its keys in their order, with the SQL of each value over the table `rows`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

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


OWN_ID, OWN_ID_JSON = "own_id", "own_id_json"
"""Columns of `rows` where a source has ids of its own: the id as text, and as JSON."""
ROW_ID = DatasetColumn("id", "rows.id")
_TRIPLE = (("instruction", "instruction"), ("input", "COALESCE(input, '')"), ("output", "response"))


_OWN_IDS = (
    DatasetColumn("id", f"COALESCE({OWN_ID_JSON}, CAST(TO_JSON(rows.id) AS VARCHAR))", json=True),
    DatasetColumn("row_id", "rows.id"),
)
FIXED_KEYS = ("id", "row_id", "instruction", "input", "output", "messages", "tools")
"""Keys of a dataset's rows that alpaqual gives; a column of the data with such a name is there as `source.<name>`."""


def dataset_columns(
    *, conversations: bool = False, own_ids: bool = False, kept: Mapping[str, str] = MappingProxyType({})
) -> tuple[DatasetColumn, ...]:
    """The columns of datasets.

    With `conversations`, some rows may be conversations; with `own_ids`, some have ids of the data. `kept` are the data's columns
    that are carried along, each with its name in `rows`.
    """
    only = "messages IS NULL" if conversations else ""
    found = [*(_OWN_IDS if own_ids else (ROW_ID,)), *(DatasetColumn(key, value, only=only) for key, value in _TRIPLE)]
    if conversations:
        found.append(DatasetColumn("messages", "messages", json=True, only="messages IS NOT NULL"))
        found.append(DatasetColumn("tools", "tools", json=True, only="tools IS NOT NULL"))
    used = set(FIXED_KEYS)
    for column, stored in kept.items():
        key = column
        while key in used or (key != column and key in kept):
            key = f"source.{key}"
        used.add(key)
        found.append(DatasetColumn(key, f"rows.{name(stored)}", json=True))
    return tuple(found)


def has_own_ids(columns: Sequence[DatasetColumn]) -> bool:
    """Whether some rows have ids of the data."""
    return tuple(columns[: len(_OWN_IDS)]) == _OWN_IDS


def are_plain(columns: Sequence[DatasetColumn]) -> bool:
    """Whether a table holds the columns: every row has every one, and SQL has their names and distinguishes them."""
    keys = {column.key.lower() for column in columns}
    return len(keys) == len(columns) and "" not in keys and not any(column.only for column in columns)


def selected(columns: Sequence[DatasetColumn]) -> str:
    """SQL of the columns of a query, each under its key."""
    values = (f"CAST({column.json_text} AS JSON)" if column.json else column.value for column in columns)
    return ", ".join(f"{value} AS {name(column.key)}" for value, column in zip(values, columns, strict=True))


def line(columns: Sequence[DatasetColumn]) -> str:
    """SQL: the JSON line of a row. JSON texts are put in as they are, so that no number and no key changes."""
    keys = (literal(f"{json.dumps(column.key, ensure_ascii=False)}:") for column in columns)
    pairs = (f"{key} || {column.json_text}" for key, column in zip(keys, columns, strict=True))
    return f"CONCAT('{{', CONCAT_WS(',', {', '.join(pairs)}), '}}')"
