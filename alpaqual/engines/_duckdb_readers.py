"""DuckDB's own readers of files: one for each format that it reads, as SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from alpaqual.quote import literal, name
from alpaqual.values import Scan


def one_file(file: str) -> str:
    """The path as DuckDB takes it for this file alone: glob characters in its name are escaped."""
    return file if file.startswith("hf://") else re.sub(r"([\[*?])", r"[\1]", file)


@dataclass(frozen=True)
class Reader:
    """A reading function with its options: to describe files, and to read cells of them."""

    function: str
    describing: Mapping[str, str] = field(default_factory=dict)
    reading: Mapping[str, str] = field(default_factory=dict)
    typed_columns: str = ""
    """Type of every cell, for functions that take the columns as an option."""

    def relation(self, files: Sequence[str]) -> str:
        """A relation with the files' columns, for DESCRIBE."""
        return _call(self.function, files, self.describing)

    def query(self, scan: Scan, files: Sequence[str]) -> str:
        """The query of a scan over some of its files: `position` from 1, and the columns."""
        named = "".join(f", {name(column)}" for column in scan.columns)
        options = dict(self.reading)
        if self.typed_columns:
            columns = ", ".join(f"{literal(column)}: '{self.typed_columns}'" for column in scan.columns)
            options["columns"] = f"{{{columns}}}"
        return f"SELECT ROW_NUMBER() OVER () AS position{named} FROM {_call(self.function, files, options)}"


class ParquetReader(Reader):
    """Parquet numbers its rows itself, so that no window runs over all of them."""

    def query(self, scan: Scan, files: Sequence[str]) -> str:
        named = "".join(f", {name(column)}" for column in scan.columns)
        options = {"file_row_number": "true"}
        if len(files) == 1:
            return f"SELECT file_row_number + 1 AS position{named} FROM {_call(self.function, files, options)}"
        starts, total = [], 0
        for index, rows in enumerate(scan.file_rows):
            starts.append(f"WHEN {index} THEN {total}")
            total += rows
        position = f"CASE file_index {' '.join(starts)} END + file_row_number + 1"
        options["union_by_name"] = "true"
        return f"SELECT {position} AS position{named} FROM {_call(self.function, files, options)}"


def _call(function: str, files: Sequence[str], options: Mapping[str, str]) -> str:
    listed = ", ".join(literal(one_file(file)) for file in files)
    given = "".join(f", {key} = {value}" for key, value in options.items())
    return f"{function}([{listed}]{given})"


_CSV = {
    "header": "true",
    "delim": "','",
    "quote": "'\"'",
    "escape": "'\"'",
    "strict_mode": "true",
    "union_by_name": "true",
}
_ARRAY, _LINES = ({"format": f"'{kind}'", "records": "true"} for kind in ("array", "newline_delimited"))

READERS: Mapping[str, Reader] = {
    "csv": Reader("read_csv", _CSV, _CSV | {"all_varchar": "true"}),
    "json": Reader("read_json", _ARRAY | {"union_by_name": "true"}, _ARRAY, "JSON"),
    "jsonl": Reader("read_json", _LINES | {"union_by_name": "true"}, _LINES, "JSON"),
    "parquet": ParquetReader("read_parquet", {"union_by_name": "true"}),
}
"""By source format."""
