"""DuckDB's own readers of files: one for each format that it reads, as SQL. Every option is given; DuckDB guesses none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from alpaqual.compression import compression_of
from alpaqual.delimited import Head, read_head
from alpaqual.quote import literal, name
from alpaqual.values import PLAIN, ReadOptions, Scan, distinct

_SMALL = 64 * 1024
_FEW = 64
_NOT_FINITE = "-?[nNiI][aAnN][nNfF]"
_NOT_JSON = (rf",\s*(?:[}}\]]|{_NOT_FINITE})", rf":\s*{_NOT_FINITE}", rf"\[\s*{_NOT_FINITE}")
"""Each starts with one character, which makes them three times as fast as one pattern."""


def one_file(file: str) -> str:
    """The path as DuckDB takes it for this file alone: glob characters in its name are escaped."""
    return file if file.startswith("hf://") else re.sub(r"([\[*?])", r"[\1]", file)


def call(function: str, files: Sequence[str], options: Mapping[str, str]) -> str:
    """A call of a reading function. A folder `column=value` above a file is a name like any other."""
    listed = ", ".join(literal(one_file(file)) for file in files)
    given = "".join(f", {key} = {value}" for key, value in {**options, "hive_partitioning": "false"}.items())
    return f"{function}([{listed}]{given})"


class Reader:
    """Reads the files of a scan. The names of all methods are SQL's: a relation, a query."""

    def query(self, scan: Scan) -> str | None:
        """The query of a scan: `position` from 1, and the columns. None where the careful reader has to read the files."""
        raise NotImplementedError


class ParquetReader(Reader):
    """Parquet numbers its rows itself, so that no window runs over all of them."""

    def relation(self, files: Sequence[str]) -> str:
        """A relation with the files' columns, for DESCRIBE."""
        return call("read_parquet", files, {"union_by_name": "true"})

    def query(self, scan: Scan) -> str | None:
        partitions = dict.fromkeys(column for file in scan.files for column, _ in file.partitions)
        named = "".join(
            f", {_partition(scan, column)} AS {name(cell)}" if column in partitions else f", {_as(column, cell)}"
            for column, cell in scan.names.items()
        )
        files = [file.path for file in scan.files]
        if not scan.numbered:
            read = call("read_parquet", files, {"union_by_name": "true"})
            return f"SELECT ROW_NUMBER() OVER () AS position{named} FROM {read}"
        options = {"file_row_number": "true"}
        if len(files) == 1:
            return f"SELECT file_row_number + 1 AS position{named} FROM {call('read_parquet', files, options)}"
        starts, total = [], 0
        for index, rows in enumerate(scan.file_rows):
            starts.append(f"WHEN {index} THEN {total}")
            total += rows
        position = f"CASE file_index {' '.join(starts)} END + file_row_number + 1"
        options["union_by_name"] = "true"
        return f"SELECT {position} AS position{named} FROM {call('read_parquet', files, options)}"


def _as(column: str, cell: str) -> str:
    """SQL: a column of a file under the name of its cell."""
    return name(column) if column == cell else f"{name(column)} AS {name(cell)}"


def _partition(scan: Scan, column: str) -> str:
    """SQL: the value that the folder of a row's file gives to a column."""
    values = [dict(file.partitions).get(column) for file in scan.files]
    cases = " ".join(f"WHEN {index} THEN {literal(value)}" for index, value in enumerate(values) if value is not None)
    found = f"CASE file_index {cases} END" if cases else "NULL"
    return f"CAST({found} AS VARCHAR)"


class JsonReader(Reader):
    """JSON objects, in a list or on lines of their own."""

    def __init__(self, kind: str) -> None:
        self.options = {"format": f"'{kind}'", "records": "true"}

    def relation(self, files: Sequence[str]) -> str | None:
        """A relation with the files' columns and types, found from every row; for DESCRIBE."""
        if (options := _options(self.options, files)) is None:
            return None
        every = {"sample_size": "-1", "maximum_sample_files": str(len(files)), "maximum_depth": "2"}
        return call("read_json", files, {**options, **every, "union_by_name": "true"})

    def structure(self, files: Sequence[str]) -> str | None:
        """The query for all keys and their kinds, as one JSON object. It takes longer and distinguishes `A` from `a`."""
        if (options := _options(self.options, files)) is None:
            return None
        del options["records"]
        return f"SELECT json_group_structure(json) FROM {call('read_json_objects', files, options)}"

    def cells(self, files: Sequence[str], columns: Sequence[str], limit: int | None) -> str | None:
        """A relation with these columns as JSON, called as `distinct` calls them; of the first `limit` rows."""
        if (options := _options(self.options, files)) is None:
            return None
        options["columns"] = _typed(columns, "JSON")
        named = ", ".join(_as(column, cell) for column, cell in distinct(columns).items())
        first = "" if limit is None else f" LIMIT {limit}"
        return f"(SELECT {named} FROM {call('read_json', files, options)}{first}) AS cells"

    def doubtful(self, files: Sequence[str]) -> str | None:
        """The query for the texts of objects that may not be JSON, though DuckDB reads them."""
        if (options := _options(self.options, files)) is None:
            return None
        del options["records"]
        found = " OR ".join(f"REGEXP_MATCHES(json, {literal(pattern)})" for pattern in _NOT_JSON)
        return f"SELECT CAST(json AS VARCHAR) FROM {call('read_json_objects', files, options)} WHERE {found}"

    def query(self, scan: Scan) -> str | None:
        files = [file.path for file in scan.files]
        if not _is_plain(scan) or (options := _options(self.options, files)) is None:
            return None
        options["columns"] = _typed(scan.columns, "JSON")
        named = "".join(f", {_as(column, cell)}" for column, cell in scan.names.items())
        return f"SELECT ROW_NUMBER() OVER () AS position{named} FROM {call('read_json', files, options)}"


class CsvReader(Reader):
    """CSV whose columns are known: the header is read in Python."""

    def query(self, scan: Scan) -> str | None:
        head = csv_head(scan)
        return None if head is None else self.with_bytes(scan, head, "")

    def with_bytes(self, scan: Scan, head: Head, counted: str) -> str | None:
        """The query of a scan, with another column of the bytes of each row's values, but quotes, as `counted`."""
        files = [file.path for file in scan.files]
        given, cells = scan.options, distinct(head.columns)
        options = {
            "auto_detect": "false",
            "header": "true",
            "delim": literal(given.delimiter or ("\t" if scan.format == "tsv" else ",")),
            "quote": literal(given.quote),
            "escape": literal(given.quote),
            "comment": "''",
            "null_padding": "false",
            "ignore_errors": "false",
            "strict_mode": "true",
            "columns": _typed(list(cells.values()), "VARCHAR"),
        }
        found = _options(options, files)
        if found is None:
            return None
        named = "".join(
            f", {_as(cells[column], cell)}" if column in cells else f", CAST(NULL AS VARCHAR) AS {name(cell)}"
            for column, cell in scan.names.items()
        )
        if counted:
            quote = literal(given.quote)
            sizes = (
                f"COALESCE(STRLEN(REPLACE({name(cell)}, {quote}, '')), 0)"
                if given.quote
                else f"COALESCE(STRLEN({name(cell)}), 0)"
                for cell in cells.values()
            )
            named += f", {' + '.join(sizes)} AS {name(counted)}"
        return f"SELECT ROW_NUMBER() OVER () AS position{named} FROM {call('read_csv', files, found)}"


def _typed(columns: Sequence[str], kind: str) -> str:
    """The option `columns`: all of one type."""
    return f"{{{', '.join(f'{literal(column)}: {literal(kind)}' for column in columns)}}}"


def csv_head(scan: Scan) -> Head | None:
    """The header that all files of a scan share, where DuckDB can be trusted with them; else None.

    DuckDB takes a blank line for a row where there is one column.
    """
    given = scan.options
    plain = given.encoding == "utf-8" and given.header and given.null == ("",) and _is_plain(scan)
    if not plain or not given.quote.isascii() or not (given.delimiter or ",").isascii():
        return None
    options = ReadOptions(delimiter=given.delimiter or ("\t" if scan.format == "tsv" else ","), quote=given.quote)
    first: Head | None = None
    for file in scan.files:
        head = read_head(file.path, options)
        if head is None or len(head.columns) < 2 or (first is not None and head.line != first.line):
            return None
        first = first or head
    return first


def _is_plain(scan: Scan) -> bool:
    """Whether DuckDB's reader has all that a scan asks for. It takes long to open thousands of small files.

    SQL cannot name a column whose name is empty.
    """
    small = len(scan.files) > _FEW and sum(file.bytes for file in scan.files) < _SMALL * len(scan.files)
    limited = scan.options.max_row_bytes != PLAIN.max_row_bytes
    named = "" not in scan.columns
    return named and not small and not limited and not any(file.partitions for file in scan.files)


def _options(options: Mapping[str, str], files: Sequence[str]) -> dict[str, str] | None:
    """The options with the compression that all files share; None where DuckDB has no decompressor."""
    kinds = {None if file.startswith("hf://") else compression_of(file) for file in files}
    if len(kinds) != 1 or not kinds <= {None, "gzip", "zstd"}:
        return None
    return {**options, "compression": literal(kinds.pop() or "none")}


READERS: Mapping[str, Reader] = {
    "csv": CsvReader(),
    "tsv": CsvReader(),
    "json": JsonReader("array"),
    "jsonl": JsonReader("newline_delimited"),
    "parquet": ParquetReader(),
}
"""By source format."""
