"""Maps the column names of a recipe to the columns of the table `rows`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from alpaqual.errors import Problem
from alpaqual.plan.checks import Columns
from alpaqual.plan.dataset_columns import OWN_ID
from alpaqual.prompt_slots import COLUMN, names_in
from alpaqual.quote import name
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.expression import parse_where, truth_columns
from alpaqual.recipe.model import Category, Rule
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.yaml_nodes import Path
from alpaqual.values import MAPPED_FIELDS, ROW_FIELDS, ROW_VALUES, SOURCE_STRIDE, SourceFacts, distinct

_INTEGERS = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT")
_LARGE_INTEGERS = ("HUGEINT", "UBIGINT")
_FRACTIONS = ("DOUBLE", "FLOAT")


class SourceColumns:
    """The sources' own columns that a recipe names.

    `carried` has those that `rows` keeps, by source; `types` the type of each; `stored` its name in `rows`; `problems` each name
    that no source has. `kept` has the names in `rows` of the columns that datasets carry along, as JSON.
    """

    def __init__(self, recipe: Recipe, sources: Sequence[SourceFacts]) -> None:
        self.recipe = recipe
        self.sources = sources
        self.problems: list[Problem] = []
        self.conversations = any(facts.is_conversation for facts in sources)
        self.carried: Mapping[str, list[str]] = self._carry()
        self.types: Mapping[str, str] = {
            column: kept_type([facts.columns[column] for facts in sources if column in self.carried[facts.name]])
            for column in sorted({column for columns in self.carried.values() for column in columns})
        }
        self.stored: Mapping[str, str] = distinct(self.types, prefix=SOURCE)
        self.problems += self._conditions()
        self.own_ids = any(facts.own_id is not None for facts in sources)
        kept = {column: None for facts in sources for column in facts.keep if not _is_there(facts, column)}
        self.kept: Mapping[str, str] = distinct(kept, prefix="keep.")

    @property
    def named(self) -> Columns:
        """The columns of `rows` by the names of the recipe. A column of fractions may hold NaN."""
        fractions = (name(self.stored[column]) for column, kind in self.types.items() if kind == "DOUBLE")
        computed = computed_values(conversations=self.conversations)
        return Columns(self.quoted, frozenset(fractions), computed, self.conversations)

    def sql(self, column: str) -> str:
        """SQL, over `rows`, of the value that a name of the recipe means."""
        return self.named.sql(column)

    def key(self, column: str) -> tuple[str, str]:
        """SQL, as text, and the type of what the key of a table of scores means; `id` is the row's id where the data has none."""
        if column != "id":
            return f"CAST({self.sql(column)} AS VARCHAR)", self.type(column)
        there = self.data_column("id") is not None
        parts = [f"CAST({self.sql(column)} AS VARCHAR)"] if there else []
        parts += [f"rows.{OWN_ID}"] if self.own_ids else []
        kind = self.type(column) if there else "VARCHAR"
        return (f"COALESCE({', '.join([*parts, 'rows.id'])})" if parts else "rows.id"), kind

    def type(self, column: str) -> str:
        """The SQL type of the value that a name of the recipe means."""
        if (own := own_value(column)) is not None:
            return "VARCHAR" if own in ("id", "source") else "BIGINT"
        return "VARCHAR" if self.row_field(column) is not None else self.types.get(self.data_column(column) or "", "")

    def quoted(self, column: str) -> str:
        """The quoted name that a name of the recipe has in SQL."""
        if (own := own_value(column)) is not None:
            return name(f"{ROW}{own}")
        found = self.row_field(column)
        if found is not None:
            return name(found)
        data = self.data_column(column)
        # A name that no source has is a problem of its own.
        return name(self.stored.get(data or "", f"{SOURCE}{column}"))

    def row_field(self, column: str) -> str | None:
        """The field that a name means: a mapped one, or that to which all sources map a column of the name."""
        if self.is_mapped(column):
            return column
        data = self.data_column(column)
        meant = {None if facts.is_conversation else _field_of(facts, data) for facts in self.sources}
        field = meant.pop() if len(meant) == 1 else None
        return field if field in ROW_FIELDS else None

    def is_mapped(self, column: str) -> bool:
        """Whether a name always means a mapped field. Turns and tools are fields where a source has conversations."""
        return column in (MAPPED_FIELDS if self.conversations else ROW_FIELDS)

    def data_column(self, column: str) -> str | None:
        """The column of the data that a name means; None where no source has it."""
        found = (own for own in data_columns(column) if any(own in facts.columns for facts in self.sources))
        return next(found, None)

    def _carry(self) -> dict[str, list[str]]:
        carried: dict[str, list[str]] = {facts.name: [] for facts in self.sources}
        for wanted, place in named_columns(self.recipe):
            if own_value(wanted) is not None or self.is_mapped(wanted):
                continue
            column = self.data_column(wanted)
            if column is None and wanted == "id" and place[-1:] == ("key",):
                # A table of scores by `id` means what datasets call so: the row's id where the data has none.
                continue
            if column is None:
                self.problems.append(self._problem(place, self._unknown(wanted)))
            elif self.row_field(wanted) is None:
                for facts in self.sources:
                    if column in facts.columns and column not in carried[facts.name]:
                        carried[facts.name].append(column)
        return {source: sorted(columns) for source, columns in carried.items()}

    def _unknown(self, wanted: str) -> str:
        """What is wrong with a name that no source has."""
        plain = wanted.removeprefix(SOURCE)
        if wanted in MAPPED_FIELDS:
            return f"'{wanted}' are those of conversations, and no source has any"
        if wanted.startswith(ROW):
            return f"there is no '{wanted}': the values of a row are row.{', row.'.join(ROW_VALUES)}"
        if wanted in ROW_VALUES:
            return f"no source has a column '{wanted}': for alpaqual's own value write {ROW}{wanted}"
        # `source.response` asks for a column of the data: the mapped field of that name is another one.
        fields = ROW_FIELDS if wanted == plain else ()
        known = dict.fromkeys([*fields, *(column for facts in self.sources for column in facts.columns)])
        hint = suggest(plain, known) or f"; there are: {', '.join(known)}"
        return f"no source has a column '{plain}'{hint}"

    def _conditions(self) -> Iterator[Problem]:
        """A problem for each column of numbers or texts that a `where:` takes for true or false: the SQL engine would convert it."""
        for part, place in _parts(self.recipe):
            for column in truth_columns(part.where) if part.where is not None and not _asks_turns(part) else ():
                kind = self.type(column)
                if kind and kind != "BOOLEAN":
                    what, value = ("text", "'yes'") if kind == "VARCHAR" else ("numbers", "1")
                    message = f"'{column}' holds {what}, not true and false: compare it, as in {column} = {value}"
                    yield self._problem(place, message)

    def _problem(self, place: Path | str, message: str) -> Problem:
        if isinstance(place, tuple):
            return self.recipe.problem(place, message)
        file, _, line = place.rpartition(":")
        return Problem(file, int(line or 0), 1, message)


SOURCE = "source."
"""Before a name in a recipe: the data's column. Before a name in `rows`: the same, so no column of the data has the name of another value."""
ROW = "row."
"""Before a name in a recipe: alpaqual's own value of the row."""


def own_value(column: str) -> str | None:
    """alpaqual's own value that a name means; None for another name."""
    value = column.removeprefix(ROW)
    return value if column.startswith(ROW) and value in ROW_VALUES else None


def data_columns(column: str) -> tuple[str, ...]:
    """The columns of the data that a name may mean, the first one that is there; none for a mapped text or an own value."""
    if column in ROW_FIELDS or own_value(column) is not None:
        return ()
    return (column.removeprefix(SOURCE), column) if column.startswith(SOURCE) else (column,)


def computed_values(*, conversations: bool) -> dict[str, str]:
    """SQL of alpaqual's own values of a row, by their quoted names; with `conversations`, `rows` has their columns."""
    values = {
        "id": "id",
        "n": "n",
        "source": "source",
        "position": f"n % {SOURCE_STRIDE}",
        "turns": "COALESCE(turns, 2)" if conversations else "CAST(2 AS BIGINT)",
    }
    return {name(f"{ROW}{value}"): sql for value, sql in values.items()}


def _is_there(facts: SourceFacts, column: str) -> bool:
    """Whether a dataset has a column under its own name anyway."""
    keys = {"instruction": "instruction", "input": "input", "response": "output"}
    if facts.is_conversation:
        keys = {"messages": "messages", "tools": "tools"}
    return (column == "id" and facts.own_id == "id") or column == keys.get(_field_of(facts, column) or "")


def _field_of(facts: SourceFacts, column: str | None) -> str | None:
    return next((field for field, own in facts.fields.items() if own == column), None)


def named_columns(recipe: Recipe) -> Iterator[tuple[str, Path | str]]:
    """Each column that a recipe names, with its path in the recipe or its `file:line` in another file."""
    for part, place in _parts(recipe):
        yield from ((column, place) for column in _columns_of(part))
    for grader_name, grader in recipe.graders.items():
        if grader.column is not None:
            yield grader.column, ("graders", grader_name, "column")
        if grader.table is not None:
            yield grader.key, ("graders", grader_name, "key")
        for column in names_in(recipe.prompts.get(grader_name, ""), COLUMN):
            yield column, ("graders", grader_name, "prompt")


def _parts(recipe: Recipe) -> Iterator[tuple[Rule | Category, Path | str]]:
    """Each rule and category, with its path in the recipe or its `file:line` in another file."""
    yield from ((rule, recipe.rule_places.get(rule.id, "")) for rule in recipe.rules)
    yield from zip(recipe.categories, recipe.category_places, strict=True)


def _asks_turns(part: Rule | Category) -> bool:
    return isinstance(part, Rule) and part.turns is not None


def kept_type(kinds: Sequence[str]) -> str:
    """The type under which a source's own column is kept, from its types in the sources that have it.

    Whole numbers are kept exactly: a DOUBLE holds them up to 2^53 only.
    """
    found = {_kept(kind) for kind in kinds}
    if len(found) == 1:
        return found.pop()
    return next((kind for kind in ("DOUBLE", LARGE_WHOLE) if kind in found and found <= _NUMERIC), "VARCHAR")


LARGE_WHOLE = "DECIMAL(38,0)"
"""The kept type of whole numbers beyond BIGINT. Parquet has no HUGEINT: DuckDB writes it as DOUBLE."""
_NUMERIC = {"BIGINT", LARGE_WHOLE, "DOUBLE"}


def _kept(kind: str) -> str:
    """The kept type of one source's column: BOOLEAN, BIGINT, DECIMAL(38,0), DOUBLE or VARCHAR."""
    if kind == "BOOLEAN":
        return kind
    if kind in _INTEGERS:
        return "BIGINT"
    if kind in _LARGE_INTEGERS or re.fullmatch(r"DECIMAL\([0-9]+,0\)", kind):
        return LARGE_WHOLE
    return "DOUBLE" if kind in _FRACTIONS or re.fullmatch(r"DECIMAL\([0-9]+,[0-9]+\)", kind) else "VARCHAR"


def _columns_of(part: Rule | Category) -> list[str]:
    if _asks_turns(part):
        return []
    if part.where is not None:
        return list(parse_where(part.where))
    if isinstance(part, Rule) and check_plugins()[checks_of(part)[0][0]].WHOLE_ROWS:
        return []
    return [part.column] if part.column is not None else []
