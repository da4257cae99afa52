"""JSON Lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from alpaqual.engines.duckdb_files import cells, relation, select_numbered
from alpaqual.sources._reading import MOST_BYTES, json_row, lines


class Plugin:
    VERSION = 1
    SUFFIXES = (".jsonl", ".ndjson")
    CELLS = "json"

    def look(self, files: Sequence[str]) -> str:
        return relation("read_json", files, format="'newline_delimited'", records="true", union_by_name="true")

    def scan(self, files: Sequence[str], columns: Sequence[str], file_rows: Sequence[int]) -> str:
        options = {"format": "'newline_delimited'", "records": "true", "columns": cells(columns, "JSON")}
        return select_numbered(columns, relation("read_json", files, **options))

    def rescue(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        for number, line in lines(file):
            place = f"line {number}"
            yield ((None, f"{place}: more than {MOST_BYTES // 2**20} MiB") if line is None else json_row(line, place))
