"""DuckDB, one connection for one stage: views over stored Parquet in, Parquet or rows out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from alpaqual.engines.duckdb_files import one_file
from alpaqual.errors import MachineError, StageError
from alpaqual.quote import literal, name


class QueryError(StageError):
    """A query failed; `reason` is DuckDB's word for it without the statement."""

    def __init__(self, what: str, error: BaseException) -> None:
        self.reason = plain_reason(error)
        super().__init__(f"{what}: {self.reason}")


def plain_reason(error: BaseException) -> str:
    """The first line of a DuckDB error, without its class and without the statement that it quotes."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", first)[:500]


class Database:
    """One in-memory DuckDB with this machine's limits; what does not fit in memory spills into `spill`."""

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

    def close(self) -> None:
        self.connection.close()

    def allow_network(self) -> None:
        """Load DuckDB's httpfs for `hf://` paths.

        Raises MachineError where it cannot be had.
        """
        try:
            self.execute("INSTALL httpfs", "network")
            self.execute("LOAD httpfs", "network")
        except QueryError as error:
            raise MachineError(
                f"reading hf:// needs DuckDB's httpfs extension, which could not be installed ({error.reason}); "
                "with a network, run: python -c \"import duckdb; duckdb.sql('INSTALL httpfs')\""
            ) from None

    def execute(self, sql: str, what: str) -> None:
        """Run a statement to its end.

        Raises QueryError, which says what was being done.
        """
        self.rows(sql, what)

    def rows(self, sql: str, what: str = "query") -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.cursor(what) as cursor:
            return cast("list[tuple[Any, ...]]", cursor.execute(sql).fetchall())

    def records(self, sql: str, what: str = "query") -> list[dict[str, Any]]:
        """All rows of a query, by column name."""
        with self.cursor(what) as cursor:
            cursor.execute(sql)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """While this lasts queries run on one thread: rows that are handed out a few at a time are not read far ahead."""
        threads = self.rows("SELECT current_setting('threads')")[0][0]
        self.execute("SET threads = 1", "reading slowly")
        try:
            yield
        finally:
            self.execute(f"SET threads = {threads}", "reading on")

    def batches(self, sql: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query, `size` at a time: memory does not grow with the rows."""
        with self.cursor("query") as cursor:
            cursor.execute(sql)
            while batch := cursor.fetchmany(size):
                yield batch

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
            raise QueryError(what, error) from error
        except RuntimeError as error:
            if "interrupted" in str(error):
                raise KeyboardInterrupt from error
            raise
        finally:
            cursor.close()

    def view(self, table: str, path: Path) -> None:
        """Make a Parquet file readable as a table."""
        self.execute(
            f"CREATE OR REPLACE VIEW {name(table)} AS SELECT * FROM read_parquet({literal(one_file(str(path)))})",
            f"opening {table}",
        )

    def view_folder(self, table: str, folder: Path) -> None:
        """Make all Parquet files of a folder readable as one table."""
        files = ", ".join(literal(one_file(str(path))) for path in sorted(folder.glob("*.parquet")))
        self.execute(
            f"CREATE OR REPLACE VIEW {name(table)} AS SELECT * FROM read_parquet([{files}])", f"opening {table}"
        )

    def describe(self, relation: str) -> dict[str, str]:
        """Columns of a relation and their types."""
        return {row[0]: row[1] for row in self.rows(f"DESCRIBE SELECT * FROM {relation}", "describing")}

    def parquet_rows(self, files: list[str]) -> tuple[int, ...]:
        """Rows of each Parquet file, from its footer."""
        listed = ", ".join(literal(one_file(file)) for file in files)
        found = dict(self.rows(f"SELECT file_name, num_rows FROM parquet_file_metadata([{listed}])", "reading footers"))
        return tuple(found[file] for file in files)

    def write_parquet(self, query: str, path: Path, what: str) -> None:
        """Write a query's result as Parquet, in row groups small enough that two cores share a middling table.

        lz4 packs about as well as snappy here and takes a fifth less time over a table of fates.
        """
        self.execute(
            f"COPY (\n{query}\n) TO {literal(str(path))} (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION lz4, ROW_GROUP_SIZE {ROW_GROUP})",
            what,
        )

    def write_jsonl(self, query: str, path: Path, what: str) -> None:
        """Write a query's result as JSON Lines."""
        self.execute(f"COPY (\n{query}\n) TO {literal(str(path))} (FORMAT json)", what)


ROW_GROUP = 24_576


@contextmanager
def opened(tables: Mapping[str, Path], **limits: Any) -> Iterator[Database]:
    """A database with `tables` as views, closed at the end."""
    database = Database(**limits)
    try:
        for table, path in tables.items():
            database.view(table, path)
        yield database
    finally:
        database.close()
