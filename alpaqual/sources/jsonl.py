"""JSON Lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alpaqual.sources._reading import MOST_BYTES, json_row, lines


class Plugin:
    VERSION = 1
    SUFFIXES = (".jsonl", ".ndjson")
    CELLS = "json"

    def rows(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        for number, line in lines(file):
            place = f"line {number}"
            yield ((None, f"{place}: more than {MOST_BYTES // 2**20} MiB") if line is None else json_row(line, place))
