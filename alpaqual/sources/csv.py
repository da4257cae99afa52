"""CSV with a header line."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from alpaqual.sources._reading import MOST_BYTES, open_bytes, relation, select_numbered


class Plugin:
    VERSION = 1
    SUFFIXES = (".csv",)
    CELLS = "text"

    def look(self, files: Sequence[str]) -> str:
        return relation("read_csv", files, **_SHAPE, union_by_name="true")

    def scan(self, files: Sequence[str], columns: Sequence[str], file_rows: Sequence[int]) -> str:
        return select_numbered(columns, relation("read_csv", files, **_SHAPE, all_varchar="true", union_by_name="true"))

    def rescue(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        csv.field_size_limit(min(sys.maxsize, 2 * MOST_BYTES))
        with open_bytes(file) as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
            reader = csv.reader(text, strict=True)
            header: list[str] | None = None
            while True:
                line = reader.line_num + 1
                try:
                    values = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    if header is None:
                        raise ValueError(f"broken CSV in the header: {error}") from None
                    yield None, f"line {line}: broken CSV ({error})"
                    continue
                if header is None:
                    header = values
                elif values:
                    yield _row(header, values, line)


_SHAPE = {"header": "true", "delim": "','", "quote": "'\"'", "escape": "'\"'", "strict_mode": "true"}


def _row(header: list[str], values: list[str], line: int) -> tuple[dict[str, Any] | None, str]:
    if len(values) != len(header):
        return None, f"line {line}: {len(values)} values where the header has {len(header)} columns"
    if any("\udc80" <= character <= "\udcff" for value in values for character in value):
        return None, f"line {line}: not UTF-8"
    if sum(len(value) for value in values) > MOST_BYTES:
        return None, f"line {line}: more than {MOST_BYTES // 2**20} MiB"
    # As DuckDB reads it: nothing between two commas is null.
    return {key: value if value != "" else None for key, value in zip(header, values, strict=True)}, ""
