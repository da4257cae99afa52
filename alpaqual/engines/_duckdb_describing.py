"""Columns and types of files, found from all of their rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alpaqual.delimited import INTEGER, NUMBER, TRUTH, Head
from alpaqual.engines._duckdb_readers import CsvReader, JsonReader
from alpaqual.errors import QueryError
from alpaqual.quote import literal, name
from alpaqual.values import FilesFound, Scan, distinct

_FIRST_ROWS = 1000
Rows = Callable[[str, str], list[tuple[Any, ...]]]
"""Runs a query, described by a few words, and returns its rows."""

_JSON_KINDS = {"UBIGINT": "HUGEINT", "NULL": "NULL", "BIGINT": "BIGINT", "HUGEINT": "HUGEINT", "DOUBLE": "DOUBLE"}


def described_json(reader: JsonReader, files: Sequence[str], rows: Rows) -> FilesFound:
    """Keys and types of JSON objects.

    Raises QueryError where DuckDB's reader refuses a row.
    """
    relation = reader.relation(files)
    if relation is None:
        raise QueryError("describing", "files of another compression")
    columns = {row[0]: row[1].strip('"') for row in rows(f"DESCRIBE SELECT * FROM {relation}", "describing")}
    folded = [column.lower() for column in columns]
    # DuckDB renames `A` beside `a` to A_1.
    if any(re.sub(r"_[0-9]+$", "", column) in folded for column in folded if re.search(r"_[0-9]+$", column)):
        ((structure,),) = rows(str(reader.structure(files)), "describing")
        keys = json.loads(structure)
        columns = {
            key: _JSON_KINDS.get(kind, "VARCHAR") if isinstance(kind, str) else "JSON" for key, kind in keys.items()
        }
    return FilesFound({**columns, **_whole(reader, files, columns, rows)})


def _whole(reader: JsonReader, files: Sequence[str], columns: Mapping[str, str], rows: Rows) -> dict[str, str]:
    """The types of columns that hold whole numbers alone.

    To DuckDB, numbers below and above 0 are HUGEINT together, and one above 2^64 makes a column DOUBLE.
    """
    found: dict[str, str] = {
        column: kind for column, kind in columns.items() if kind in ("HUGEINT", "DOUBLE") and column
    }
    # The first rows show nearly every column with fractions.
    for limit in (_FIRST_ROWS, None):
        relation = reader.cells(files, list(found), limit) if found else None
        if relation is None:
            return {}
        measured = ", ".join(_digits(f"CAST({name(cell)} AS VARCHAR)") for cell in distinct(found).values())
        ((*most,),) = rows(f"SELECT {measured} FROM {relation}", "describing")
        found = {column: _whole_kind(digits) for column, digits in zip(found, most, strict=True) if digits is not None}
    return {column: kind for column, kind in found.items() if kind}


def _digits(text: str) -> str:
    """SQL: characters of the longest whole number of a column of JSON; 0 where it is null, NULL where it has other values."""
    whole = f"COALESCE(BOOL_AND(REGEXP_FULL_MATCH(NULLIF({text}, 'null'), '-?[0-9]+')), TRUE)"
    return f"CASE WHEN {whole} THEN COALESCE(MAX(LENGTH({text})), 0) END"


def _whole_kind(digits: int) -> str:
    return "BIGINT" if digits < 19 else "HUGEINT" if digits < 39 else ""


def described_csv(scan: Scan, head: Head, rows: Rows) -> FilesFound:
    """Columns of CSV files; the types of those that the scan names, from all of their values."""
    columns = dict.fromkeys(head.columns, "VARCHAR")
    asked = [column for column in scan.columns if column in columns]
    if asked:
        relation = CsvReader().query(scan)
        cells = scan.names
        measured = ", ".join(_kind(cells[column]) for column in asked)
        ((*kinds,),) = rows(f"SELECT {measured} FROM ({relation}) AS cells", "describing")
        columns.update(zip(asked, kinds, strict=True))
    return FilesFound(columns, empty=head.empty)


def _kind(column: str) -> str:
    """SQL: the type of all values of a column of texts."""
    text = name(column)
    every = "BOOL_AND(REGEXP_FULL_MATCH({0}, {1}))"
    integer, number, truth = (every.format(text, literal(pattern)) for pattern in (INTEGER, NUMBER, TRUTH))
    whole = f"CASE WHEN MAX(LENGTH({text})) < 18 THEN 'BIGINT' WHEN COUNT({text}) = COUNT(TRY_CAST({text} AS DECIMAL(38,0))) THEN 'HUGEINT' ELSE 'VARCHAR' END"
    return (
        f"CASE WHEN {integer} THEN {whole} WHEN {number} THEN 'DOUBLE' WHEN {truth} THEN 'BOOLEAN' ELSE 'VARCHAR' END"
    )
