"""SQL engines: each runs the statements of a plan over tables of files. Files and tables come and go as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from alpaqual.contracts import Engine
from alpaqual.registry import find

DEFAULT = "duckdb"


def open_engine(
    *, kind: str = DEFAULT, memory: str | None = None, threads: int | None = None, spill: Path | None = None
) -> Engine:
    """An engine within limits of memory (such as 4GB) and threads; what exceeds the memory spills into a folder.

    Raises MachineError where no engine of this kind is installed.
    """
    engine: Engine = find("engines", kind)(memory=memory, threads=threads, spill=spill)
    return engine


def engine_class(kind: str) -> type[Engine]:
    """The class of an engine, for what it can say without a connection. Raises MachineError as `open_engine` does."""
    found: type[Engine] = find("engines", kind)
    return found


@contextmanager
def viewing(tables: Mapping[str, Path], kind: str = DEFAULT) -> Iterator[Engine]:
    """An engine with stored Parquet files as tables, closed at the end."""
    engine = open_engine(kind=kind)
    try:
        for table, path in tables.items():
            engine.view(table, [path])
        yield engine
    finally:
        engine.close()
