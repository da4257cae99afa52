"""Sources -> the table `rows`, and what could not become a row in `quarantine`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from alpaqual.contracts import Source as SourcePlugin
from alpaqual.plan.checks import joined_key
from alpaqual.plan.columns import stored_column
from alpaqual.plan.plan import Kind, Query
from alpaqual.quote import literal, name
from alpaqual.values import ROW_FIELDS, SourceFacts

SOURCE_STRIDE = 10**12
"""Row numbers `n` of the source at position k start at k times this; what is left is the row's position in its source."""

ID_CHARACTERS = 16
"""Characters of a row's id: 64 bits of an md5. Rows that share them by chance, one pair in 3 * 10^5 sets of 10^7 rows, get
ordinals as copies do, so an id is always one row's."""
INCOMPLETE = "incomplete"
"""Rows without an instruction or a response: rules can check them, nothing can be trained on them."""
_INCOMPLETE = (
    "SELECT n, 'instruction is null' AS reason FROM rows WHERE instruction IS NULL\n"
    "UNION ALL\nSELECT n, 'response is null' AS reason FROM rows WHERE response IS NULL"
)
UNREADABLE = "unreadable"
"""Rows that could not be read at all; reading with care fills it."""
_NOTHING_UNREADABLE = "SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS reason, '' AS text WHERE FALSE"
_EXAMPLES = 20
_MOST_CHARACTERS = 16 * 2**20
_TURNS = '\'[{"role":"VARCHAR","from":"VARCHAR","content":"VARCHAR","value":"VARCHAR"}]\''
_NUMBERS = (
    "BIGINT",
    "DOUBLE",
    "INTEGER",
    "FLOAT",
    "UBIGINT",
    "HUGEINT",
    "DECIMAL",
    "SMALLINT",
    "TINYINT",
    "UINTEGER",
)
_JSON_KINDS = "CASE JSON_TYPE({0}) WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END"


def loading_queries(
    sources: Sequence[tuple[SourceFacts, SourcePlugin]],
    carried: Mapping[str, Sequence[str]],
    types: Mapping[str, str],
) -> list[Query]:
    """The queries of loading. `carried` has each source's own columns to be kept, `types` the type each is kept with."""
    queries: list[Query] = [Query(UNREADABLE, _NOTHING_UNREADABLE, Kind.TEMP)]
    rows: list[str] = []
    quarantine: list[str] = [f"SELECT source, position, reason, text FROM {UNREADABLE}"]
    every = list(types)
    for index, (facts, plugin) in enumerate(sources):
        reading = _Reading(facts, plugin, carried[facts.name], types, index)
        if reading.staged:
            queries.append(Query(reading.table, reading.scan, Kind.STAGED))
            quarantine.append(reading.quarantine())
        rows.append(reading.rows(every))
    unique = joined_key(["COALESCE(instruction, '')", "COALESCE(input, '')", "COALESCE(response, '')"])
    # A null is no empty text: without a response of its own a row is another row.
    with_nulls = f"MD5(CONCAT({unique}, instruction IS NULL, response IS NULL))"
    key = (
        f"LEFT(CASE WHEN instruction IS NULL OR response IS NULL THEN {with_nulls} ELSE {unique} END, {ID_CHARACTERS})"
    )
    named = "".join(f", {name(stored_column(column))}" for column in every)
    columns = f"n, source, instruction, input, response{named}"
    loaded = f"SELECT {key} AS id, {columns}\nFROM ({_union(rows)}) AS loaded"
    queries.append(Query("loaded", loaded, Kind.TABLE))
    copies = "SELECT COUNT(*) FROM (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1) AS copied"
    queries.append(Query("rows", _with_ordinals(columns, every), Kind.TABLE, unless=("loaded", copies)))
    queries.append(Query(INCOMPLETE, _INCOMPLETE, Kind.TABLE))
    queries.append(
        Query(
            "quarantine",
            f"SELECT * FROM ({_union(quarantine)}) AS put_aside ORDER BY source, position",
            Kind.TABLE,
        )
    )
    queries.append(
        Query(
            "source_rows",
            "SELECT source, COUNT(*) AS rows FROM rows GROUP BY source ORDER BY source",
            Kind.FACTS,
        )
    )
    aside = "SELECT source, COUNT(*) AS rows FROM quarantine GROUP BY source ORDER BY source"
    queries.append(Query("quarantined", aside, Kind.FACTS))
    queries.append(
        Query(
            "incomplete",
            f"SELECT reason, COUNT(*) AS rows FROM {INCOMPLETE} GROUP BY reason ORDER BY reason",
            Kind.FACTS,
        )
    )
    queries.append(
        Query(
            "quarantine_examples",
            f"SELECT source, position, reason FROM quarantine ORDER BY source, position LIMIT {_EXAMPLES}",
            Kind.FACTS,
        )
    )
    return queries


def _union(queries: Iterable[str]) -> str:
    return "\nUNION ALL\n".join(queries)


def _with_ordinals(columns: str, carried: Sequence[str]) -> str:
    """Exact copies of a row get an ordinal, decided by what is in them and not by where they stand."""
    order = ", ".join([name(stored_column(column)) for column in carried] + ["source", "n"])
    return (
        "WITH copies AS (\n"
        f"  SELECT n, ROW_NUMBER() OVER (PARTITION BY id ORDER BY {order}) AS ordinal FROM loaded\n"
        "  WHERE id IN (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1)\n"
        ")\n"
        f"SELECT CASE WHEN ordinal > 1 THEN CONCAT(id, '-', ordinal) ELSE id END AS id, {columns}\n"
        "FROM loaded LEFT JOIN copies USING (n)"
    )


class _Reading:
    """One source's columns, as cells of its file, turned into the columns of `rows`."""

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
        self.table = f"staged.{facts.name}"
        self.messages = facts.fields.get("messages")
        needed = dict.fromkeys([*facts.fields.values(), *carried])
        self.scan = plugin.scan([file.path for file in facts.files], list(needed), facts.file_rows or ())
        self.staged = self.cells != "typed" or self.messages is not None

    def rows(self, every: Sequence[str]) -> str:
        kept = "".join(
            f", {self.carry(column) if column in self.carried else f'CAST(NULL AS {self.types[column]})'} AS {name(stored_column(column))}"
            for column in every
        )
        texts = ", ".join(f"{expression} AS {field}" for field, expression in self.texts().items())
        select = (
            f"SELECT {self.index * SOURCE_STRIDE} + position AS n, {literal(self.facts.name)} AS source, {texts}{kept}"
        )
        if not self.staged:
            return f"{select} FROM ({self.scan})"
        return f"{select} FROM {self.relation()} WHERE {self.problem()} IS NULL"

    def quarantine(self) -> str:
        return (
            f"SELECT {literal(self.facts.name)} AS source, position, {self.problem()} AS reason, "
            f"LEFT(CONCAT_WS(' | ', {', '.join(self.shown())}), 200) AS text FROM {self.relation()} WHERE {self.problem()} IS NOT NULL"
        )

    def relation(self) -> str:
        if self.messages is None:
            return name(self.table)
        turns = (
            f"FROM_JSON({name(self.messages) if self.cells == 'json' else f'TO_JSON({name(self.messages)})'}, {_TURNS})"
        )
        if self.cells == "text":
            turns = f"FROM_JSON(TRY_CAST({name(self.messages)} AS JSON), {_TURNS})"
        return _conversation(turns, name(self.table))

    def shown(self) -> list[str]:
        columns = [self.messages] if self.messages else list(self.facts.fields.values())
        return [f"CAST({name(column)} AS VARCHAR)" for column in columns]

    def texts(self) -> dict[str, str]:
        if self.messages is not None:
            return {"instruction": "said_instruction", "input": "''", "response": "said_response"}
        fields = self.facts.fields
        return {field: self.text(fields[field]) if field in fields else "''" for field in ROW_FIELDS}

    def text(self, column: str) -> str:
        return f"({name(column)} ->> '$')" if self.cells == "json" else name(column)

    def carry(self, column: str) -> str:
        kind = self.types[column]
        if self.cells == "typed":
            return f"CAST({name(column)} AS {kind})" if self.facts.columns[column] != kind else name(column)
        return self.text(column) if kind == "VARCHAR" else f"TRY_CAST({self.text(column)} AS {kind})"

    def problem(self) -> str:
        """SQL that says why a row cannot be used, or NULL."""
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
        if self.staged:
            texts = [text for text in self.texts().values() if text != "''"]
            length = " + ".join(f"COALESCE(LENGTH({text}), 0)" for text in texts)
            cases.append(
                f"WHEN {length} > {_MOST_CHARACTERS} THEN 'more than {_MOST_CHARACTERS // 2**20} million characters'"
            )
        for column in self.carried:
            if self.cells != "typed" and self.types[column] != "VARCHAR":
                there = f"{self.text(column)} IS NOT NULL"
                what = literal(f"{column}: not a {'truth value' if self.types[column] == 'BOOLEAN' else 'number'}")
                cases.append(f"WHEN {there} AND {self.carry(column)} IS NULL THEN {what}")
        return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS VARCHAR)"


def _conversation(turns: str, table: str) -> str:
    """The relation with each conversation's last user turn, the assistant's last answer, and what was said before it.

    One user turn alone is the instruction as it stands; more are written out with who said them.
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
        f"(SELECT *, {plain} AS turns FROM {table}) AS told) AS told) AS told"
    )


def kept_type(kinds: Sequence[str]) -> str:
    """The type under which a source's own column is kept, from its types in the sources that have it."""
    if all(kind == "BOOLEAN" for kind in kinds):
        return "BOOLEAN"
    return "DOUBLE" if all(kind.startswith(_NUMBERS) and not kind.endswith("]") for kind in kinds) else "VARCHAR"
