"""The stage `loading`: files of the sources become the table `rows`; what cannot become a row is in `quarantine`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from alpaqual.contracts import Source as SourcePlugin
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.conversations import (
    COLUMNS,
    ConversationReading,
    conversation_reading,
    conversation_settings,
    relation,
    too_long,
    values,
)
from alpaqual.plan.dataset_columns import OWN_ID, OWN_ID_JSON
from alpaqual.plan.facts import LoadFacts, StageFacts
from alpaqual.plan.source_columns import SourceColumns
from alpaqual.plan.stage import Facts, KeptTable, Stage, Statement
from alpaqual.plan.tables import INCOMPLETE, LOADED, PLACES, QUARANTINE, ROWS, UNREADABLE, scanned
from alpaqual.quote import literal, name
from alpaqual.sources import open_source
from alpaqual.sql import joined_key
from alpaqual.values import RESERVED_CELLS, ROW_FIELDS, SOURCE_STRIDE, ReadOptions, Scan, SourceFacts, distinct

ID_CHARACTERS = 16
"""Characters of a row's id: 64 bits of an md5. Rows that share them by chance, one pair in 3 * 10^5 sets of 10^7 rows, get
ordinals as copies do, so an id is always one row's."""
_INCOMPLETE = (
    "SELECT n, 'instruction is null' AS reason FROM rows WHERE instruction IS NULL\n"
    "UNION ALL\nSELECT n, 'response is null' AS reason FROM rows WHERE response IS NULL"
)
NOTHING_UNREADABLE = "SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS reason, '' AS text WHERE FALSE"
"""The table of unreadable rows before a reader adds any."""
NO_PLACES = "SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS place WHERE FALSE"
"""The table of places before any row is refused."""
_EXAMPLES = 20
_JSON_KINDS = "CASE JSON_TYPE({0}) WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END"

_JSON_PIECES = r'"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)|-?[0-9][0-9.eE+-]*|[^"]'
"""Texts, numbers, and single characters between them."""


@dataclass(frozen=True, kw_only=True)
class LoadStage(Stage):
    """Reads the files of every source."""

    kind: ClassVar[str] = "loading"
    facts: ClassVar[type[StageFacts]] = LoadFacts
    scans: tuple[Scan, ...]
    refused: tuple[str, ...]
    """For each scan, the query of the positions of its rows that cannot be used; empty where all can be."""
    conversations: tuple[ConversationReading | None, ...]
    """For each scan, how its conversations are read; None where its rows are three texts."""


def load_stages(compilation: Compilation) -> Iterator[LoadStage]:
    """The one stage that reads the sources."""
    plugins: list[SourcePlugin] = [open_source(facts.format, facts.options) for facts in compilation.sources]
    carried, types = compilation.columns.carried, compilation.columns.types
    described = [
        {
            "name": facts.name,
            "format": facts.format,
            "version": plugin.VERSION,
            "files": [file.digest for file in facts.files],
            "fields": dict(facts.fields),
            "columns": carried[facts.name],
            **({"own_id": facts.own_id} if facts.own_id is not None else {}),
            **({"keep": list(facts.keep)} if facts.keep else {}),
            **_options(facts),
            **conversation_settings(facts),
        }
        for facts, plugin in zip(compilation.sources, plugins, strict=True)
    ]
    readings = [
        _Reading(facts, plugin, compilation.columns, index)
        for index, (facts, plugin) in enumerate(zip(compilation.sources, plugins, strict=True))
    ]
    yield LoadStage(
        settings={"sources": described, "types": types},
        scans=tuple(reading.scan for reading in readings),
        refused=tuple(reading.refused() if reading.scan.copied else "" for reading in readings),
        conversations=tuple(reading.conversation for reading in readings),
        statements=tuple(_statements(readings, compilation.columns)),
    )


def _options(facts: SourceFacts) -> dict[str, Any]:
    """What a fingerprint has of options that differ from the defaults, and of values that folders give."""
    default = ReadOptions()
    options = {
        option.name: value
        for option in fields(facts.options)
        if (value := getattr(facts.options, option.name)) != getattr(default, option.name)
    }
    partitions = [list(file.partitions) for file in facts.files]
    return {**({"options": options} if options else {}), **({"partitions": partitions} if any(partitions) else {})}


def _statements(readings: Sequence[_Reading], own: SourceColumns) -> Iterator[Statement]:
    carried = [name(stored) for stored in (*own.stored.values(), *own.kept.values())]
    ids = [OWN_ID, OWN_ID_JSON] if own.own_ids else []
    unique = joined_key(["COALESCE(instruction, '')", "COALESCE(input, '')", "COALESCE(response, '')"])
    # A null is not an empty text: a row without a response is another row than one with an empty response.
    with_nulls = f"MD5(CONCAT({unique}, instruction IS NULL, response IS NULL))"
    key = (
        f"LEFT(CASE WHEN instruction IS NULL OR response IS NULL THEN {with_nulls} ELSE {unique} END, {ID_CHARACTERS})"
    )
    if own.conversations:
        key = f"CASE WHEN identity IS NULL THEN {key} ELSE LEFT(MD5(CONCAT({unique}, identity)), {ID_CHARACTERS}) END"
    columns = ", ".join([*ids, "n", "source", *ROW_FIELDS, *(COLUMNS if own.conversations else ()), *carried])
    union = _union(reading.rows() for reading in readings)
    loaded = f"SELECT {key} AS id, {columns}\nFROM ({union}) AS loaded"
    yield KeptTable(LOADED, loaded)
    copies = "SELECT COUNT(*) FROM (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1) AS copied"
    yield KeptTable(ROWS, _with_ordinals(columns, [*ids, *carried]), unless=(LOADED, copies))
    yield KeptTable(INCOMPLETE, _INCOMPLETE)
    aside = [f"SELECT source, position, reason, text FROM {UNREADABLE}"]
    aside += [reading.quarantine() for reading in readings if reading.scan.copied]
    placed = f"({_union(aside)}) AS refused LEFT JOIN {PLACES} AS places USING (source, position)"
    reason = "CONCAT(place || ': ', reason) AS reason"
    yield KeptTable(QUARANTINE, f"SELECT source, position, {reason}, text FROM {placed} ORDER BY source, position")
    yield Facts("source_rows", "SELECT source, COUNT(*) AS rows FROM rows GROUP BY source ORDER BY source")
    yield Facts("quarantined", "SELECT source, COUNT(*) AS rows FROM quarantine GROUP BY source ORDER BY source")
    yield Facts("incomplete", "SELECT reason, COUNT(*) AS rows FROM incomplete GROUP BY reason ORDER BY reason")
    # The first row of each source, then the second of each: no source's rows hide those of another.
    turn = "ROW_NUMBER() OVER (PARTITION BY source ORDER BY position)"
    examples = f"SELECT source, position, reason FROM quarantine ORDER BY {turn}, source LIMIT {_EXAMPLES}"
    yield Facts("quarantine_examples", f"SELECT * FROM ({examples}) AS examples ORDER BY source, position")


def _union(queries: Iterable[str]) -> str:
    return "\nUNION ALL\n".join(queries)


def _with_ordinals(columns: str, carried: Sequence[str]) -> str:
    """Give exact copies of a row an ordinal, decided by their content and not by their order."""
    order = ", ".join([*carried, "source", "n"])
    return (
        "WITH copies AS (\n"
        f"  SELECT n, ROW_NUMBER() OVER (PARTITION BY id ORDER BY {order}) AS ordinal FROM loaded\n"
        "  WHERE id IN (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1)\n"
        ")\n"
        f"SELECT CASE WHEN ordinal > 1 THEN CONCAT(id, '-', ordinal) ELSE id END AS id, {columns}\n"
        "FROM loaded LEFT JOIN copies USING (n)"
    )


def scan_of(
    facts: SourceFacts, plugin: SourcePlugin, columns: tuple[str, ...], *, table: str = "", copied: bool = True
) -> Scan:
    """The scan of these columns of a source."""
    return Scan(
        table=table,
        source=facts.name,
        format=facts.format,
        cells=plugin.CELLS,
        files=facts.files,
        columns=columns,
        file_rows=facts.file_rows or (),
        copied=copied,
        options=facts.options,
        numbered={"file_row_number", "file_index"}.isdisjoint(map(str.lower, facts.columns)),
    )


def cell_text(cells: str, cell: str) -> str:
    """SQL: the text of a quoted cell of a scan; NULL where the cell is null or missing."""
    return f"({cell} ->> '$')" if cells == "json" else cell


def _finite_json(text: str) -> str:
    """SQL: a JSON text with null in place of NaN, infinity and numbers that no DOUBLE holds; NULL where it is null itself."""
    pieces = f"REGEXP_EXTRACT_ALL({text}, {literal(_JSON_PIECES)})"
    infinite = "ISINF(TRY_CAST(CASE WHEN REGEXP_MATCHES(piece, '^-?[0-9]') THEN piece END AS DOUBLE))"
    finite = f"CASE WHEN piece IN ('NaN', 'Infinity', '-Infinity') OR {infinite} THEN 'null' ELSE piece END"
    changed = f"ARRAY_TO_STRING(LIST_TRANSFORM({pieces}, LAMBDA piece: {finite}), '')"
    seldom = f"REGEXP_MATCHES({text}, 'NaN|Infinity|[eE][+]?[0-9][0-9][0-9]')"
    return f"NULLIF(CASE WHEN {seldom} THEN {changed} ELSE {text} END, 'null')"


class _Reading:
    """One source: its scan, and SQL that turns cells of the scan into columns of `rows`."""

    def __init__(
        self,
        facts: SourceFacts,
        plugin: SourcePlugin,
        own: SourceColumns,
        index: int,
    ) -> None:
        self.facts = facts
        self.cells = plugin.CELLS
        self.own = own
        self.carried = own.carried[facts.name]
        self.types = own.types
        self.index = index
        self.table = scanned(facts.name)
        given = [*facts.fields.values(), *self.carried, *facts.keep, *([facts.own_id] if facts.own_id else [])]
        columns = tuple(dict.fromkeys(given))
        self.names = distinct(columns, taken=RESERVED_CELLS)
        self.conversation = conversation_reading(facts, plugin.CELLS, self.names)
        # Cells without a type are read twice: for the rows, and for the reasons of those in quarantine.
        copied = plugin.CELLS != "typed" or self.conversation is not None
        self.scan = scan_of(facts, plugin, columns, table=self.table.name, copied=copied)

    def rows(self) -> str:
        """SQL: the rows of the source, with the columns that `rows` has for any source."""
        kept = "".join(
            f", {self.carry(column) if column in self.carried else f'CAST(NULL AS {self.types[column]})'} AS {name(stored)}"
            for column, stored in self.own.stored.items()
        )
        kept += "".join(
            f", {self.json(column, column in self.facts.keep)} AS {name(stored)}"
            for column, stored in self.own.kept.items()
        )
        if self.own.own_ids:
            kept += f", {self.own_id_text()} AS {OWN_ID}, {self.json(self.facts.own_id or '', self.facts.own_id is not None)} AS {OWN_ID_JSON}"
        columns = {**self.texts(), **(values(self.conversation is not None) if self.own.conversations else {})}
        texts = ", ".join(f"{expression} AS {field}" for field, expression in columns.items())
        select = (
            f"SELECT {self.index * SOURCE_STRIDE} + position AS n, {literal(self.facts.name)} AS source, {texts}{kept}"
        )
        if not self.scan.copied:
            return f"{select} FROM {self.table}"
        return f"{select} FROM {self.relation()} WHERE {self.problem()} IS NULL"

    def quarantine(self) -> str:
        return (
            f"SELECT {literal(self.facts.name)} AS source, position, {self.problem()} AS reason, "
            f"LEFT(CONCAT_WS(' | ', {', '.join(self.shown())}), 200) AS text FROM {self.relation()} WHERE {self.problem()} IS NOT NULL"
        )

    def refused(self) -> str:
        """SQL: the positions of the rows in quarantine."""
        return f"SELECT position FROM {self.relation()} WHERE {self.problem()} IS NOT NULL ORDER BY position"

    def relation(self) -> str:
        return str(self.table) if self.conversation is None else relation(self.facts.name)

    def shown(self) -> list[str]:
        return [f"CAST({self.cell(column)} AS VARCHAR)" for column in self.facts.fields.values()]

    def cell(self, column: str) -> str:
        """SQL: the cell of a column of the data."""
        return name(self.names[column])

    def texts(self) -> dict[str, str]:
        if self.conversation is not None:
            return {"instruction": name("turned instruction"), "input": "''", "response": name("turned response")}
        fields = self.facts.fields
        return {field: self.text(fields[field]) if field in fields else "''" for field in ROW_FIELDS}

    def text(self, column: str) -> str:
        return cell_text(self.cells, self.cell(column))

    def carry(self, column: str) -> str:
        kind = self.types[column]
        if self.cells == "typed":
            cell = self.cell(column)
            return f"CAST({cell} AS {kind})" if self.facts.columns[column] != kind else cell
        return self.text(column) if kind == "VARCHAR" else f"TRY_CAST({self.text(column)} AS {kind})"

    def own_id_text(self) -> str:
        """SQL: the data's own id as text."""
        if self.facts.own_id is None:
            return "CAST(NULL AS VARCHAR)"
        return f"CAST({self.text(self.facts.own_id)} AS VARCHAR)"

    def json(self, column: str, there: bool) -> str:
        """SQL: a cell as JSON text, with the type that the data gives it; NULL where it has none. JSON has no NaN."""
        if not there:
            return "CAST(NULL AS VARCHAR)"
        cell, kind = self.cell(column), self.facts.columns[column]
        if self.cells == "json":
            return _finite_json(f"CAST({cell} AS VARCHAR)")
        value = f"TRY_CAST({cell} AS {kind})" if self.cells == "text" and kind != "VARCHAR" else cell
        value = f"BASE64({cell})" if kind == "BLOB" else value
        there_is = f"ISFINITE({value})" if kind in ("DOUBLE", "FLOAT") else f"{cell} IS NOT NULL"
        return f"CASE WHEN {there_is} THEN CAST(TO_JSON({value}) AS VARCHAR) END"

    def problem(self) -> str:
        """SQL: why a row cannot be used, or NULL."""
        cases: list[str] = []
        if self.conversation is not None:
            cases.append(f"WHEN {name('turned problem')} IS NOT NULL THEN {name('turned problem')}")
        elif self.cells == "json":
            cases += [
                f"WHEN JSON_TYPE({self.cell(column)}) NOT IN ('VARCHAR', 'NULL') "
                f"THEN CONCAT({literal(f'{column}: ')}, {_JSON_KINDS.format(self.cell(column))}, ' where a text should be')"
                for column in self.facts.fields.values()
            ]
        if self.scan.copied and self.conversation is None:
            texts = [text for text in self.texts().values() if text != "''"]
            most = self.facts.options.max_row_bytes
            length = " + ".join(f"COALESCE(LENGTH({text}), 0)" for text in texts)
            cases.append(f"WHEN {length} > {most} THEN {literal(too_long(most))}")
        cases += [f"WHEN {bad} THEN {reason}" for bad, reason in self.misfits()]
        if self.scan.copied and self.conversation is None:
            cases.insert(0, f"WHEN {self.good()} THEN NULL")
        return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS VARCHAR)"

    def good(self) -> str:
        """SQL: whether a row is good at first sight. No JSON is parsed for it, and nearly all rows are."""
        texts = self.shown()
        parts = [
            f"{' + '.join(f'COALESCE(STRLEN({text}), 0)' for text in texts)} <= {self.facts.options.max_row_bytes}"
        ]
        if self.cells == "json":
            parts += [f"COALESCE(STARTS_WITH({text}, '\"'), TRUE)" for text in texts]
        return " AND ".join(parts + [f"NOT ({bad})" for bad, _ in self.misfits()])

    def misfits(self) -> Iterator[tuple[str, str]]:
        """SQL: whether the value of a carried column is not of the column's type, and the reason."""
        for column in self.carried:
            if self.cells != "typed" and self.types[column] != "VARCHAR":
                what = f"{column}: not a {'truth value' if self.types[column] == 'BOOLEAN' else 'number'}"
                yield f"{self.text(column)} IS NOT NULL AND {self.carry(column)} IS NULL", literal(what)
