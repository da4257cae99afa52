"""The stage `loading`: files of the sources become the table `rows`; what cannot become a row is in `quarantine`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from alpaqual.contracts import Source as SourcePlugin
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.facts import LoadFacts, StageFacts
from alpaqual.plan.source_columns import stored_column
from alpaqual.plan.stage import Facts, KeptTable, Stage, Statement
from alpaqual.plan.tables import INCOMPLETE, LOADED, PLACES, QUARANTINE, ROWS, UNREADABLE, scanned
from alpaqual.quote import literal, name
from alpaqual.sources import open_source
from alpaqual.sql import joined_key
from alpaqual.values import ROW_FIELDS, ReadOptions, Scan, SourceFacts

SOURCE_STRIDE = 10**12
"""Row numbers `n` of the source at position k start at k times this; what is left is the row's position in its source."""

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
_TURNS = '\'[{"role":"VARCHAR","from":"VARCHAR","content":"VARCHAR","value":"VARCHAR"}]\''
_JSON_KINDS = "CASE JSON_TYPE({0}) WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END"


@dataclass(frozen=True, kw_only=True)
class LoadStage(Stage):
    """Reads the files of every source."""

    kind: ClassVar[str] = "loading"
    facts: ClassVar[type[StageFacts]] = LoadFacts
    scans: tuple[Scan, ...]
    refused: tuple[str, ...]
    """For each scan, the query of the positions of its rows that cannot be used; empty where all can be."""


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
            **_options(facts),
        }
        for facts, plugin in zip(compilation.sources, plugins, strict=True)
    ]
    readings = [
        _Reading(facts, plugin, carried[facts.name], types, index)
        for index, (facts, plugin) in enumerate(zip(compilation.sources, plugins, strict=True))
    ]
    yield LoadStage(
        settings={"sources": described, "types": types},
        scans=tuple(reading.scan for reading in readings),
        refused=tuple(reading.refused() if reading.scan.copied else "" for reading in readings),
        statements=tuple(_statements(readings, types)),
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


def _statements(readings: Sequence[_Reading], types: Mapping[str, str]) -> Iterator[Statement]:
    every = list(types)
    unique = joined_key(["COALESCE(instruction, '')", "COALESCE(input, '')", "COALESCE(response, '')"])
    # A null is not an empty text: a row without a response is another row than one with an empty response.
    with_nulls = f"MD5(CONCAT({unique}, instruction IS NULL, response IS NULL))"
    key = (
        f"LEFT(CASE WHEN instruction IS NULL OR response IS NULL THEN {with_nulls} ELSE {unique} END, {ID_CHARACTERS})"
    )
    named = "".join(f", {name(stored_column(column))}" for column in every)
    columns = f"n, source, instruction, input, response{named}"
    loaded = f"SELECT {key} AS id, {columns}\nFROM ({_union(reading.rows(every) for reading in readings)}) AS loaded"
    yield KeptTable(LOADED, loaded)
    copies = "SELECT COUNT(*) FROM (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1) AS copied"
    yield KeptTable(ROWS, _with_ordinals(columns, every), unless=(LOADED, copies))
    yield KeptTable(INCOMPLETE, _INCOMPLETE)
    aside = [f"SELECT source, position, reason, text FROM {UNREADABLE}"]
    aside += [reading.quarantine() for reading in readings if reading.scan.copied]
    placed = f"({_union(aside)}) AS refused LEFT JOIN {PLACES} AS places USING (source, position)"
    reason = "CONCAT(place || ': ', reason) AS reason"
    yield KeptTable(QUARANTINE, f"SELECT source, position, {reason}, text FROM {placed} ORDER BY source, position")
    yield Facts("source_rows", "SELECT source, COUNT(*) AS rows FROM rows GROUP BY source ORDER BY source")
    yield Facts("quarantined", "SELECT source, COUNT(*) AS rows FROM quarantine GROUP BY source ORDER BY source")
    yield Facts("incomplete", "SELECT reason, COUNT(*) AS rows FROM incomplete GROUP BY reason ORDER BY reason")
    examples = f"SELECT source, position, reason FROM quarantine ORDER BY source, position LIMIT {_EXAMPLES}"
    yield Facts("quarantine_examples", examples)


def _union(queries: Iterable[str]) -> str:
    return "\nUNION ALL\n".join(queries)


def _with_ordinals(columns: str, carried: Sequence[str]) -> str:
    """Give exact copies of a row an ordinal, decided by their content and not by their order."""
    order = ", ".join([name(stored_column(column)) for column in carried] + ["source", "n"])
    return (
        "WITH copies AS (\n"
        f"  SELECT n, ROW_NUMBER() OVER (PARTITION BY id ORDER BY {order}) AS ordinal FROM loaded\n"
        "  WHERE id IN (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1)\n"
        ")\n"
        f"SELECT CASE WHEN ordinal > 1 THEN CONCAT(id, '-', ordinal) ELSE id END AS id, {columns}\n"
        "FROM loaded LEFT JOIN copies USING (n)"
    )


def cell_text(cells: str, column: str) -> str:
    """SQL: the text of a cell of a scan; NULL where the cell is null or missing."""
    return f"({name(column)} ->> '$')" if cells == "json" else name(column)


class _Reading:
    """One source: its scan, and SQL that turns cells of the scan into columns of `rows`."""

    def __init__(
        self,
        facts: SourceFacts,
        plugin: SourcePlugin,
        carried: Sequence[str],
        types: Mapping[str, str],
        index: int,
    ) -> None:
        self.facts = facts
        self.cells = plugin.CELLS
        self.carried = carried
        self.types = types
        self.index = index
        self.messages = facts.fields.get("messages")
        self.table = scanned(facts.name)
        self.scan = Scan(
            table=self.table.name,
            source=facts.name,
            format=facts.format,
            cells=plugin.CELLS,
            files=facts.files,
            columns=tuple(dict.fromkeys([*facts.fields.values(), *carried])),
            file_rows=facts.file_rows or (),
            options=facts.options,
            # Cells without a type are read twice: for the rows, and for the reasons of those in quarantine.
            copied=plugin.CELLS != "typed" or self.messages is not None,
        )

    def rows(self, every: Sequence[str]) -> str:
        kept = "".join(
            f", {self.carry(column) if column in self.carried else f'CAST(NULL AS {self.types[column]})'} AS {name(stored_column(column))}"
            for column in every
        )
        texts = ", ".join(f"{expression} AS {field}" for field, expression in self.texts().items())
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
        if self.messages is None:
            return str(self.table)
        turns = (
            f"FROM_JSON({name(self.messages) if self.cells == 'json' else f'TO_JSON({name(self.messages)})'}, {_TURNS})"
        )
        if self.cells == "text":
            turns = f"FROM_JSON(TRY_CAST({name(self.messages)} AS JSON), {_TURNS})"
        return _conversation(turns, str(self.table))

    def shown(self) -> list[str]:
        columns = [self.messages] if self.messages else list(self.facts.fields.values())
        return [f"CAST({name(column)} AS VARCHAR)" for column in columns]

    def texts(self) -> dict[str, str]:
        if self.messages is not None:
            return {"instruction": "said_instruction", "input": "''", "response": "said_response"}
        fields = self.facts.fields
        return {field: self.text(fields[field]) if field in fields else "''" for field in ROW_FIELDS}

    def text(self, column: str) -> str:
        return cell_text(self.cells, column)

    def carry(self, column: str) -> str:
        kind = self.types[column]
        if self.cells == "typed":
            return f"CAST({name(column)} AS {kind})" if self.facts.columns[column] != kind else name(column)
        return self.text(column) if kind == "VARCHAR" else f"TRY_CAST({self.text(column)} AS {kind})"

    def problem(self) -> str:
        """SQL: why a row cannot be used, or NULL."""
        cases: list[str] = []
        if self.messages is not None:
            cases += [
                "WHEN turns IS NULL THEN 'not a list of turns'",
                "WHEN last_user IS NULL THEN 'no user turn with a text'",
                "WHEN last_assistant IS NULL OR last_assistant < last_user THEN 'no assistant turn after the last user turn'",
            ]
        elif self.cells == "json":
            cases += [
                f"WHEN JSON_TYPE({name(column)}) NOT IN ('VARCHAR', 'NULL') "
                f"THEN CONCAT({literal(f'{column}: ')}, {_JSON_KINDS.format(name(column))}, ' where a text should be')"
                for column in self.facts.fields.values()
            ]
        if self.scan.copied:
            texts = [text for text in self.texts().values() if text != "''"]
            most = self.facts.options.max_row_bytes
            shown = f"{most // 2**20} million characters" if most % 2**20 == 0 else f"{most} characters"
            length = " + ".join(f"COALESCE(LENGTH({text}), 0)" for text in texts)
            cases.append(f"WHEN {length} > {most} THEN 'more than {shown}'")
        for column in self.carried:
            if self.cells != "typed" and self.types[column] != "VARCHAR":
                there = f"{self.text(column)} IS NOT NULL"
                what = literal(f"{column}: not a {'truth value' if self.types[column] == 'BOOLEAN' else 'number'}")
                cases.append(f"WHEN {there} AND {self.carry(column)} IS NULL THEN {what}")
        return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS VARCHAR)"


def _conversation(turns: str, table: str) -> str:
    """The relation with each conversation's last user turn, the last assistant turn, and the turns before it.

    A single user turn is the instruction itself; several turns are written out with their roles.
    """
    speaker = 'LOWER(COALESCE(t."role", t."from"))'
    role = f"CASE {speaker} WHEN 'human' THEN 'user' WHEN 'gpt' THEN 'assistant' WHEN 'chatgpt' THEN 'assistant' ELSE {speaker} END"
    plain = f"LIST_TRANSFORM({turns}, lambda t: {{'role': {role}, 'text': COALESCE(t.\"content\", t.\"value\")}})"
    last = (
        "LIST_MAX(LIST_FILTER(RANGE(1, LEN(turns) + 1), lambda i: turns[i].role = '{0}' AND turns[i].text IS NOT NULL))"
    )
    label = "CONCAT(UPPER(LEFT(t.role, 1)), SUBSTRING(t.role, 2), ': ', t.text)"
    before = f"ARRAY_TO_STRING(LIST_TRANSFORM(turns[1:last_user], lambda t: {label}), CHR(10) || CHR(10))"
    instruction = f"CASE WHEN last_user = 1 THEN turns[1].text ELSE {before} END"
    return (
        f"(SELECT *, {instruction} AS said_instruction, turns[last_assistant].text AS said_response FROM "
        f"(SELECT *, {last.format('user')} AS last_user, {last.format('assistant')} AS last_assistant FROM "
        f"(SELECT *, {plain} AS turns FROM {table}) AS cleaned) AS located) AS turned"
    )
