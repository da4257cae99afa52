"""Parquet, from disk or from hf://datasets/… ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from alpaqual.engines.duckdb_files import relation
from alpaqual.quote import name


class Plugin:
    VERSION = 1
    SUFFIXES = (".parquet",)
    CELLS = "typed"

    def look(self, files: Sequence[str]) -> str:
        return relation("read_parquet", files, union_by_name="true")

    def scan(self, files: Sequence[str], columns: Sequence[str], file_rows: Sequence[int]) -> str:
        named = "".join(f", {name(column)}" for column in columns)
        if len(files) == 1:
            return f"SELECT file_row_number + 1 AS position{named} FROM {relation('read_parquet', files, file_row_number='true')}"
        # Numbers without a window over all rows: each file starts where the one before it ends.
        starts, total = [], 0
        for index, rows in enumerate(file_rows):
            starts.append(f"WHEN {index} THEN {total}")
            total += rows
        options = {"file_row_number": "true", "union_by_name": "true"}
        return f"SELECT CASE file_index {' '.join(starts)} END + file_row_number + 1 AS position{named} FROM {relation('read_parquet', files, **options)}"

    def rescue(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        raise ValueError("not a Parquet file that can be read")
