"""Reads the records of a dataset's rows again, as their files have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from alpaqual.contracts import Engine, Source
from alpaqual.plan.tables import RECORDS, Table
from alpaqual.plan.writing import RecordReading
from alpaqual.quote import literal, name
from alpaqual.sources import open_source
from alpaqual.values import SOURCE_STRIDE, Scan, SourceFile, replace_surrogates

_NO_RECORDS = "SELECT CAST(0 AS BIGINT) AS n, '' AS record, '' AS grouped, '' AS stratum WHERE FALSE"
_READ = Table("records that Python read")
_BATCH = 1_000


def fill_records(engine: Engine, reading: RecordReading, what: str) -> None:
    """Make the table of records: those of typed files by the engine, all others by the readers of their formats."""
    engine.create(_READ.name, _NO_RECORDS, what)
    some: list[tuple[Any, ...]] = []
    for row in _records(engine, reading):
        some.append(row)
        if len(some) == _BATCH:
            engine.insert(_READ.name, some, what)
            some = []
    engine.insert(_READ.name, some, what)
    parts = [f"SELECT * FROM {_READ}"]
    parts += [
        _typed(engine, reading, index) for index, each in enumerate(reading.sources) if each.scan.cells == "typed"
    ]
    engine.create(RECORDS.name, "\nUNION ALL\n".join(parts), what)
    engine.drop(_READ.name)


def _typed(engine: Engine, reading: RecordReading, index: int) -> str:
    """SQL: the records of a source of typed files."""
    source = reading.sources[index]
    scan = source.scan
    cells = {column: name(cell) for column, cell in scan.names.items()}
    values = (f"BASE64({cells[column]})" if column in source.binary else cells[column] for column in source.columns)
    pairs = ", ".join(f"{literal(column)}, {value}" for column, value in zip(source.columns, values, strict=True))
    picked = {
        "record": f"CAST(JSON_OBJECT({pairs}) AS VARCHAR)" if reading.whole else "CAST(NULL AS VARCHAR)",
        "grouped": _text(scan, reading.group),
        "stratum": _text(scan, reading.stratum),
    }
    chosen = ", ".join(f"{sql} AS {column}" for column, sql in picked.items())
    numbered = f"SELECT {index * SOURCE_STRIDE} + position AS n, {chosen} FROM ({engine.scan_sql(scan)}) AS scanned"
    return f"SELECT read.* FROM ({numbered}) AS read JOIN ({reading.kept}) AS kept USING (n)"


def _text(scan: Scan, column: str | None) -> str:
    cell = None if column is None else scan.names.get(column)
    return f"CAST({'NULL' if cell is None else name(cell)} AS VARCHAR)"


def _records(engine: Engine, reading: RecordReading) -> Iterator[tuple[int, str | None, str | None, str | None]]:
    """n, record, and the texts of the two columns, of each row of a dataset from files that Python reads."""
    kept = (row[0] for batch in engine.rows(reading.kept, _BATCH) for row in batch)
    wanted = next(kept, None)
    for index, scan in enumerate(each.scan for each in reading.sources):
        start = index * SOURCE_STRIDE
        if scan.cells == "typed":
            while wanted is not None and wanted < start + SOURCE_STRIDE:
                wanted = next(kept, None)
            continue
        source = open_source(scan.format, scan.options)
        position = start
        for file in scan.files:
            for record in _texts(source, file) if reading.whole else _rows(source, file):
                position += 1
                if position == wanted:
                    yield position, *_picked(reading, record, file)
                    wanted = next(kept, None)


def _texts(source: Source, file: SourceFile) -> Iterator[Any]:
    """The JSON text of each row of a file; its values where the reader has no texts."""
    records = getattr(source, "records", None)
    found: Iterator[Any] = _rows(source, file) if records is None else records(file.path)
    return found


def _rows(source: Source, file: SourceFile) -> Iterator[Any]:
    return (row for row, _ in source.rows(file.path))


def _picked(reading: RecordReading, record: Any, file: SourceFile) -> tuple[str | None, str | None, str | None]:
    text = None
    if reading.whole:
        text = record if isinstance(record, str) else replace_surrogates(json.dumps(record, ensure_ascii=False))
    if reading.group is None and reading.stratum is None:
        return text, None, None
    row = {**(json.loads(record) if isinstance(record, str) else record), **dict(file.partitions)}
    return text, _shown(row, reading.group), _shown(row, reading.stratum)


def _shown(row: dict[str, Any], column: str | None) -> str | None:
    """A value as a text."""
    value = None if column is None else row.get(column)
    if value is None or isinstance(value, str):
        return None if value is None else replace_surrogates(value)
    return replace_surrogates(json.dumps(value, ensure_ascii=False))
