"""A source's cells -> a staged table; a file that DuckDB refuses is read with care, what is broken in it put aside."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpaqual.contracts import Source as SourcePlugin
from alpaqual.engines.duckdb import Database, QueryError
from alpaqual.engines.duckdb_files import one_file
from alpaqual.errors import RecipeError
from alpaqual.execution.compression import verify_compressed_file
from alpaqual.plan.loading import UNREADABLE
from alpaqual.plan.plan import Plan, Query
from alpaqual.quote import literal, name
from alpaqual.registry import find
from alpaqual.values import SourceFacts

_BATCH = 1_000
_SURROGATE = re.compile("[\ud800-\udfff]")


def stage_source(database: Database, plan: Plan, query: Query, folder: Path) -> None:
    """Make the staged table of a source.

    Rows that cannot be read go into the table `unreadable`, each with its position and the reason.
    """
    table = f"CREATE OR REPLACE TABLE {name(query.name)} AS "
    what = f"loading: {query.name.removeprefix('staged.')}"
    index = next(i for i, source in enumerate(plan.sources) if query.name == f"staged.{source.name}")
    source = plan.sources[index]
    clean = folder / "clean.jsonl"
    columns = list(dict.fromkeys([*source.fields.values(), *_columns_after(query.sql, source)]))
    plugin: SourcePlugin = find("sources", source.format)()
    try:
        for file in source.files:
            verify_compressed_file(file.path)
        with contextlib.suppress(QueryError):
            database.execute(table + query.sql, what)
            return
        unreadable = _rescue(source, plugin, columns, clean)
    except ValueError as error:
        problem = plan.recipe.problem(("sources", index, "path"), str(error))
        raise RecipeError([problem]) from None
    for start in range(0, len(unreadable), _BATCH):
        batch = unreadable[start : start + _BATCH]
        values = ", ".join(f"({literal(source.name)}, {position}, {literal(reason)}, '')" for position, reason in batch)
        database.execute(f"INSERT INTO {UNREADABLE} VALUES {values}", what)
    sql = _read_clean(clean, columns, plugin.CELLS)
    database.execute(table + sql, what)
    clean.unlink()


def name_damaged_file(database: Database, plan: Plan) -> None:
    """Reads each file of the typed sources to its end.

    Raises RecipeError for the first that cannot be read; a file that is not on this disk is passed over.
    """
    for index, source in enumerate(plan.sources):
        plugin: SourcePlugin = find("sources", source.format)()
        for file in source.files if plugin.CELLS == "typed" and not source.files[0].path.startswith("hf://") else ():
            try:
                database.rows(
                    f"SELECT MAX(HASH(COLUMNS(*))) FROM ({plugin.scan([file.path], list(source.columns), ())})"
                )
            except QueryError as error:
                message = f"{Path(file.path).name} is damaged and cannot be read to its end: {error.reason}"
                raise RecipeError([plan.recipe.problem(("sources", index, "path"), message)]) from None


def _columns_after(sql: str, source: SourceFacts) -> list[str]:
    """The source's own columns that the strict scan would have read."""
    return [column for column in source.columns if name(column) in sql]


def _rescue(source: SourceFacts, plugin: SourcePlugin, columns: list[str], clean: Path) -> list[tuple[int, str]]:
    unreadable: list[tuple[int, str]] = []
    position = 0
    with clean.open("w", encoding="utf-8") as stream:
        for file in source.files:
            shown = Path(file.path).name
            try:
                for row, reason in plugin.rescue(file.path):
                    position += 1
                    if row is None:
                        unreadable.append((position, f"{shown} {reason}"))
                    else:
                        stream.write(_line(position, row, columns))
            except ValueError as error:
                raise ValueError(f"{shown}: {error}") from None
    return unreadable


def _line(position: int, row: Mapping[str, Any], columns: list[str]) -> str:
    # Lone surrogates, which JSON can spell and UTF-8 cannot, become the replacement character.
    text = json.dumps([position, *(row.get(column) for column in columns)], ensure_ascii=False)
    return _SURROGATE.sub("\ufffd", text) + "\n"


def _read_clean(clean: Path, columns: list[str], cells: str) -> str:
    row = f"SELECT json AS line FROM read_json_objects({literal(one_file(str(clean)))}, format = 'newline_delimited', maximum_object_size = 134217728)"
    arrow = "->>" if cells == "text" else "->"
    picked = "".join(
        f", NULLIF(line {arrow} {position}, 'null') AS {name(column)}" for position, column in enumerate(columns, 1)
    )
    return f"SELECT CAST(line ->> 0 AS BIGINT) AS position{picked} FROM ({row})"
