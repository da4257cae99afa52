"""JSON: a list of objects, or an object that holds one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from alpaqual.compression import open_bytes
from alpaqual.conversation.json_members import members, on_one_line
from alpaqual.conversation.json_values import kind_of
from alpaqual.read_options import PLAIN, ReadOptions
from alpaqual.sources import jsonl


class Plugin:
    VERSION = 2
    SUFFIXES = (".json",)
    CELLS = "json"
    OPTIONS = ("max_row_bytes",)

    def __init__(self, options: ReadOptions = PLAIN) -> None:
        self.options = options

    def rows(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        for _, row, reason in self.placed_rows(file):
            yield row, reason

    def places(self, file: str) -> Iterator[str]:
        """The place of each row that `rows` yields."""
        return (place for place, _, _ in self.placed_rows(file))

    def records(self, file: str) -> Iterator[str | None]:
        """The JSON text of each row, in the order of `rows`."""
        with open_bytes(file) as stream:
            text = stream.read().decode("utf-8-sig")
        try:
            yield from map(on_one_line, _records(text))
        except json.JSONDecodeError:
            yield from jsonl.Plugin(self.options).records(file)

    def placed_rows(self, file: str) -> Iterator[tuple[str, dict[str, Any] | None, str]]:
        with open_bytes(file) as stream:
            data = stream.read()
        try:
            value = json.loads(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"not UTF-8 (line {data.count(10, 0, error.start) + 1}, byte {error.start + 1} of the file)"
            ) from None
        except RecursionError:
            raise ValueError("JSON nested too deeply") from None
        except json.JSONDecodeError as error:
            if error.msg == "Extra data" and data.lstrip()[:1] == b"{":
                # JSON Lines under the wrong name.
                lines = jsonl.Plugin(self.options)
                for place, (row, reason) in zip(lines.places(file), lines.rows(file), strict=True):
                    yield place, row, reason
                return
            raise ValueError(f"broken JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
        except ValueError as error:  # a whole number of more digits than Python reads
            raise ValueError(str(error)) from None
        for place, row in _rows(value):
            if isinstance(row, dict):
                yield place, row, ""
            else:
                yield place, None, f"{place}: {kind_of(row)} where a row (an object) should be"


def _records(text: str) -> Iterator[str]:
    """The texts of the rows of a document, in the order of `_rows`."""
    value = json.loads(text)
    layout = _layout(value)
    if layout == "row":
        return iter((text.strip(" \t\r\n"),))
    parts = {key: part for key, _, part in members(text)} if isinstance(value, dict) else {}
    if layout == "members":
        return iter(parts.values())
    inside = text if layout == "list" else parts[_list_key(value)]
    return (part for _, _, part in members(inside))


def _layout(value: Any) -> Literal["list", "list inside", "members", "row"]:
    """Where the rows of a document are: the items of the list that it is or holds, its members, or itself."""
    if isinstance(value, list):
        return "list"
    if not isinstance(value, dict):
        raise ValueError(f"{kind_of(value)} where a list of rows should be")
    lists = [items for items in value.values() if isinstance(items, list)]
    if len(lists) == 1 and all(isinstance(item, dict) for item in lists[0]) and not _is_conversation(lists[0]):
        return "list inside"
    return "members" if value and all(isinstance(item, dict) for item in value.values()) else "row"


def _list_key(value: dict[str, Any]) -> str:
    return next(key for key, items in value.items() if isinstance(items, list))


def _rows(value: Any) -> Iterator[tuple[str, Any]]:
    """The rows of a document with their places."""
    layout = _layout(value)
    if layout == "list":
        yield from ((f"item {index}", row) for index, row in enumerate(value, 1))
    elif layout == "list inside":
        key = _list_key(value)
        yield from ((f"item {index} of '{key}'", row) for index, row in enumerate(value[key], 1))
    elif layout == "members":
        yield from ((f"'{key}'", row) for key, row in value.items())
    else:
        yield "the object", value


def _is_conversation(items: list[Any]) -> bool:
    return bool(items) and all({"role", "from"} & item.keys() for item in items)
