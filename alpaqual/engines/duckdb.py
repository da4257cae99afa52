"""DuckDB as an engine: views over stored Parquet in; Parquet, JSON Lines or rows out."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from alpaqual.contracts import RowReader
from alpaqual.delimited import Head, count_bytes
from alpaqual.engines._duckdb_describing import described_csv, described_json
from alpaqual.engines._duckdb_readers import (
    READERS,
    CsvReader,
    JsonReader,
    ParquetReader,
    call,
    csv_head,
    one_file,
)
from alpaqual.errors import MachineError, QueryError
from alpaqual.quote import literal, name
from alpaqual.values import FilesFound, Scan, replace_surrogates

ROW_GROUP = 24_576
_LONGEST_LINE = 128 * 2**20
_BYTES = "row bytes"


class Plugin:
    """One in-memory DuckDB with this machine's limits; what exceeds its memory spills into the folder `spill`."""

    def __init__(self, *, memory: str | None = None, threads: int | None = None, spill: Path | None = None) -> None:
        import duckdb

        config: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        if memory:
            config["memory_limit"] = memory
        if threads:
            config["threads"] = threads
        if spill is not None:
            config["temp_directory"] = str(spill)
        self.errors: tuple[type[BaseException], ...] = (duckdb.Error, UnicodeDecodeError)
        self.connection = duckdb.connect(":memory:", config=config)
        self.spill = spill

    def close(self) -> None:
        self.connection.close()

    # Files

    @staticmethod
    def reads(kind: str) -> bool:
        """Whether DuckDB has a reader for a source format."""
        return kind in READERS

    def describe(self, scan: Scan) -> FilesFound:
        """Columns and types of a scan's files, from all rows; rows of each Parquet file, from its footer.

        Of texts, only the columns that the scan names get types. Raises QueryError where a careful reader has to find them.
        """
        reader, files = READERS[scan.format], [file.path for file in scan.files]
        if isinstance(reader, ParquetReader):
            return FilesFound(self._described(reader.relation(files)), self._footers(files))
        if isinstance(reader, JsonReader) and reader.query(scan) is not None:
            return described_json(reader, files, self.all_rows)
        head = csv_head(scan) if isinstance(reader, CsvReader) else None
        if head is None:
            raise QueryError("describing", "")
        return described_csv(scan, head, self.all_rows)

    def load(self, scan: Scan, rows: RowReader) -> Sequence[tuple[int, str]]:
        """Make `scan.table`: DuckDB's reader for all files at once, else row by row; (position, reason) of unreadable rows."""
        query, what = self.scan_sql(scan), f"loading: {scan.source}"
        if query is not None and not scan.copied:
            self.execute(f"CREATE OR REPLACE VIEW {name(scan.table)} AS {query}", what)
            return ()
        if query is not None:
            with suppress(QueryError):
                if isinstance(READERS[scan.format], CsvReader):
                    if self._load_csv(scan, what):
                        return ()
                else:
                    self.create(scan.table, query, what)
                    if not self._has_empty_row(scan, what) and self._is_strict(scan, what):
                        return ()
        if self.spill is not None:
            self.spill.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.spill) as folder:
            cells = Path(folder) / "cells.jsonl"
            unreadable = _write_cells(scan, rows, cells)
            self.create(scan.table, _cells_query(scan, cells), what)
        return unreadable

    def _has_empty_row(self, scan: Scan, what: str) -> bool:
        """Whether a row of JSON has no value: DuckDB reads a `null` in place of an object as such a row."""
        if not isinstance(READERS[scan.format], JsonReader) or not scan.columns:
            return False
        empty = " AND ".join(f"{name(cell)} IS NULL" for cell in scan.names.values())
        return bool(self.all_rows(f"SELECT 1 FROM {name(scan.table)} WHERE {empty} LIMIT 1", what))

    def _is_strict(self, scan: Scan, what: str) -> bool:
        """Whether the rows of JSON are JSON for other readers too: DuckDB takes commas before a bracket, and `nan` and `inf`."""
        reader = READERS[scan.format]
        query = reader.doubtful([file.path for file in scan.files]) if isinstance(reader, JsonReader) else None
        for (row,) in self.all_rows(query, what) if query is not None else ():
            try:
                json.loads(row)
            except ValueError:
                return False
        return True

    def _load_csv(self, scan: Scan, what: str) -> bool:
        """Whether the table of a scan was made and holds every byte of its files.

        DuckDB drops spaces beside quotes, and an empty value after the last column, without an error. So the bytes of all
        values, delimiters and line ends are compared with those of the files.
        """
        head = csv_head(scan)
        query = None if head is None else CsvReader().with_bytes(scan, head, _BYTES)
        if head is None or query is None:
            return False
        self.create(scan.table, query, what)
        ((rows, found),) = self.all_rows(
            f"SELECT COUNT(*), COALESCE(SUM({name(_BYTES)}), 0) FROM {name(scan.table)}", what
        )
        ends = len(head.line) - len(head.line.rstrip(b"\r\n"))
        return bool(found + rows * (len(head.columns) - 1 + ends) == _bytes_of_values(scan, head, ends))

    @staticmethod
    def scan_sql(scan: Scan) -> str | None:
        """The query that reads the files; None where DuckDB cannot read them."""
        reader = READERS.get(scan.format)
        return None if reader is None else reader.query(scan)

    def check_files(self, scan: Scan) -> Iterator[tuple[str, str]]:
        """Read each typed local file to its end: yields (path, reason) of each that is damaged."""
        for file in scan.files if scan.cells == "typed" else ():
            if file.path.startswith("hf://"):
                continue
            try:
                query = READERS[scan.format].query(replace(scan, files=(file,), file_rows=()))
                self.all_rows(f"SELECT MAX(HASH(COLUMNS(*))) FROM ({query})", "reading to the end")
            except QueryError as error:
                yield file.path, error.reason

    def allow_network(self) -> None:
        """Load DuckDB's httpfs for `hf://` paths.

        Raises MachineError where it cannot be installed.
        """
        try:
            self.execute("INSTALL httpfs", "network")
            self.execute("LOAD httpfs", "network")
        except QueryError as error:
            raise MachineError(
                f"reading hf:// needs DuckDB's httpfs extension, which could not be installed ({error.reason}); "
                "with a network, run: python -c \"import duckdb; duckdb.sql('INSTALL httpfs')\""
            ) from None

    # Tables

    def view(self, table: str, files: Sequence[Path]) -> None:
        """Make Parquet files readable as one table."""
        read = call("read_parquet", [str(file) for file in files], {})
        self.execute(f"CREATE OR REPLACE VIEW {name(table)} AS SELECT * FROM {read}", f"opening {table}")

    def create(self, table: str, query: str, what: str) -> None:
        """Make a temporary table of a query's rows."""
        self.execute(f"CREATE OR REPLACE TABLE {name(table)} AS {query}", what)

    def insert(self, table: str, rows: Sequence[Sequence[str | int | float | None]], what: str) -> None:
        """Append rows to a temporary table."""
        if not rows:
            return
        columns = [list(column) for column in zip(*rows, strict=True)]
        kinds = self.columns(table).values()
        # A value that all rows share is sent once; the first column has a list, which gives the number of rows.
        shared = [index > 0 and column.count(column[0]) == len(column) for index, column in enumerate(columns)]
        picked = ", ".join(
            f"${n}::{kind}" if once else f"UNNEST(${n}::{kind}[])"
            for n, (kind, once) in enumerate(zip(kinds, shared, strict=True), 1)
        )
        values = [column[0] if once else column for column, once in zip(columns, shared, strict=True)]
        with self.cursor(what) as cursor:
            cursor.execute(f"INSERT INTO {name(table)} SELECT {picked}", values)

    def table(self, table: str, query: str, path: Path, what: str) -> None:
        """Write a query's rows as Parquet, and make the file readable as `table`.

        Row groups are small enough that two cores share a table of some ten thousand rows. lz4 packs about as well as snappy
        here and takes a fifth less time over a table of fates.
        """
        options = f"FORMAT parquet, PARQUET_VERSION v2, COMPRESSION lz4, ROW_GROUP_SIZE {ROW_GROUP}"
        self.execute(f"COPY (\n{query}\n) TO {literal(str(path))} ({options})", what)
        self.view(table, [path])

    def drop(self, table: str) -> None:
        """Drop a table or a view, where there is one."""
        try:
            self.execute(f"DROP VIEW IF EXISTS {name(table)}", "cleaning up")
        except QueryError:
            # It is a table: DuckDB has no statement that drops either.
            self.execute(f"DROP TABLE {name(table)}", "cleaning up")

    def columns(self, table: str) -> Mapping[str, str]:
        """Columns of a table and their types."""
        return self._described(name(table))

    # Results

    def export(self, query: str, path: Path, what: str) -> None:
        """Write a query's rows as JSON Lines."""
        self.execute(f"COPY (\n{query}\n) TO {literal(str(path))} (FORMAT json)", what)

    def facts(self, query: str, what: str = "query") -> list[dict[str, Any]]:
        """All rows of a query, by column name."""
        with self.cursor(what) as cursor:
            cursor.execute(query)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def rows(self, query: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query in lists of `size`: memory does not grow with their number."""
        with self.cursor("query") as cursor:
            cursor.execute(query)
            while batch := cursor.fetchmany(size):
                yield batch

    def all_rows(self, query: str, what: str = "query") -> list[tuple[Any, ...]]:
        """All rows of a query, as tuples."""
        with self.cursor(what) as cursor:
            return cast("list[tuple[Any, ...]]", cursor.execute(query).fetchall())

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Run queries on one thread, which reads least ahead of rows that are taken a few at a time."""
        threads = self.all_rows("SELECT current_setting('threads')")[0][0]
        self.execute("SET threads = 1", "streaming")
        try:
            yield
        finally:
            self.execute(f"SET threads = {threads}", "streaming")

    # Statements

    def execute(self, sql: str, what: str) -> None:
        """Run a statement to its end.

        Raises QueryError, which says what was being done.
        """
        self.all_rows(sql, what)

    @contextmanager
    def cursor(self, what: str) -> Iterator[Any]:
        """A cursor for one query.

        Raises QueryError, and KeyboardInterrupt where a person stopped the query: DuckDB has a RuntimeError for that.
        """
        cursor = self.connection.cursor()
        try:
            yield cursor
        except self.errors as error:
            if "INTERRUPT" in str(error):
                raise KeyboardInterrupt from error
            raise QueryError(what, plain_reason(error)) from error
        except RuntimeError as error:
            if "interrupted" in str(error):
                raise KeyboardInterrupt from error
            raise
        finally:
            cursor.close()

    def _described(self, relation: str) -> dict[str, str]:
        return {row[0]: row[1] for row in self.all_rows(f"DESCRIBE SELECT * FROM {relation}", "describing")}

    def _footers(self, files: Sequence[str]) -> tuple[int, ...]:
        listed = ", ".join(literal(one_file(file)) for file in files)
        query = f"SELECT file_name, num_rows FROM parquet_file_metadata([{listed}])"
        found = dict(self.all_rows(query, "reading footers"))
        return tuple(found[file] for file in files)


def plain_reason(error: BaseException) -> str:
    """The first line of a DuckDB error, without its class and without the statement that it quotes."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", first)[:500]


def _bytes_of_values(scan: Scan, head: Head, ends: int) -> int:
    """Bytes of CSV files that are values, delimiters or line ends: all but headers and quotes."""
    total = 0
    for file in scan.files:
        size, quotes, ended = count_bytes(file.path, scan.options.quote)
        header = len(head.line) - (head.line.count(scan.options.quote.encode()) if scan.options.quote else 0)
        total += size - quotes - header + (0 if ended else ends)
    return total


def _write_cells(scan: Scan, rows: RowReader, target: Path) -> list[tuple[int, str]]:
    """Write position and cells of every readable row as JSON lists; (position, reason) of each other row.

    Raises ValueError, with the file's name, where a file as a whole cannot be read.
    """
    unreadable: list[tuple[int, str]] = []
    position = 0
    with target.open("w", encoding="utf-8") as stream:
        for file in scan.files:
            shown, partitions = file.path.rpartition("/")[2], dict(file.partitions)
            try:
                for row, reason in rows(file.path):
                    position += 1
                    if row is None:
                        unreadable.append((position, f"{shown} {reason}"))
                        continue
                    given = {**row, **partitions} if partitions else row
                    cells = [position, *(given.get(column) for column in scan.columns)]
                    # JSON can spell lone surrogates, UTF-8 cannot: they become the replacement character.
                    stream.write(replace_surrogates(json.dumps(cells, ensure_ascii=False)) + "\n")
            except ValueError as error:
                raise ValueError(f"{shown}: {error}") from None
    return unreadable


def _cells_query(scan: Scan, file: Path) -> str:
    options = f"format = 'newline_delimited', maximum_object_size = {_LONGEST_LINE}"
    lines = f"SELECT json AS line FROM read_json_objects({literal(one_file(str(file)))}, {options}, hive_partitioning = false)"
    # The text "null" of CSV is a text: ->> gives NULL for JSON's null alone.
    cell = "line ->> {0}" if scan.cells == "text" else "NULLIF(line -> {0}, 'null')"
    picked = "".join(f", {cell.format(index)} AS {name(called)}" for index, called in enumerate(scan.names.values(), 1))
    return f"SELECT CAST(line ->> 0 AS BIGINT) AS position{picked} FROM ({lines})"
