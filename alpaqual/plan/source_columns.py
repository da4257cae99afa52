"""Maps the column names of a recipe to the columns of the table `rows`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from alpaqual.errors import Problem
from alpaqual.plan.checks import Columns
from alpaqual.plan.conversations import COLUMNS as CONVERSATION_COLUMNS
from alpaqual.quote import name
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.expression import parse_where
from alpaqual.recipe.model import Category, Rule
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.yaml_nodes import Path
from alpaqual.values import RESERVED_COLUMNS, ROW_FIELDS, SourceFacts

_INTEGERS = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT")
_LARGE_INTEGERS = ("HUGEINT", "UBIGINT")
_FRACTIONS = ("DOUBLE", "FLOAT")


class SourceColumns:
    """The sources' own columns that a recipe names.

    `carried` has those that `rows` keeps, by source; `types` the type of each; `problems` each name that no source has.
    """

    def __init__(self, recipe: Recipe, sources: Sequence[SourceFacts]) -> None:
        self.recipe = recipe
        self.sources = sources
        self.problems: list[Problem] = []
        self.carried: Mapping[str, list[str]] = self._carry()
        self.types: Mapping[str, str] = {
            column: kept_type([facts.columns[column] for facts in sources if column in self.carried[facts.name]])
            for column in sorted({column for columns in self.carried.values() for column in columns})
        }

    @property
    def named(self) -> Columns:
        """The columns of `rows` by the names of the recipe. A column of fractions may hold NaN."""
        fractions = (name(stored_column(column)) for column, kind in self.types.items() if kind == "DOUBLE")
        return Columns(self.quoted, frozenset(fractions))

    def quoted(self, column: str) -> str:
        """The quoted column of `rows` that a name of the recipe means."""
        return name(self.row_field(column) or stored_column(column))

    def row_field(self, column: str) -> str | None:
        """The column of every row that a name means: a reserved one, or the field that all sources map a column to."""
        if column in RESERVED_COLUMNS:
            return column
        plain = column.removeprefix("source.")
        meant = {next((field for field, own in facts.fields.items() if own == plain), None) for facts in self.sources}
        field = meant.pop() if len(meant) == 1 else None
        return field if field in ROW_FIELDS else None

    def _carry(self) -> dict[str, list[str]]:
        carried: dict[str, list[str]] = {facts.name: [] for facts in self.sources}
        for wanted, place in named_columns(self.recipe):
            if self.row_field(wanted) is not None:
                continue
            plain = wanted.removeprefix("source.")
            holders = [facts for facts in self.sources if plain in facts.columns]
            if not holders:
                # `source.response` asks for a column of the data: the mapped field of that name is another one.
                fields = ROW_FIELDS if wanted == plain else ()
                known = dict.fromkeys([*fields, *(column for facts in self.sources for column in facts.columns)])
                hint = suggest(plain, known) or f"; there are: {', '.join(known)}"
                self.problems.append(self._problem(place, f"no source has a column '{plain}'{hint}"))
            for facts in holders:
                if plain not in carried[facts.name]:
                    carried[facts.name].append(plain)
        return {source: sorted(columns) for source, columns in carried.items()}

    def _problem(self, place: Path | str, message: str) -> Problem:
        if isinstance(place, tuple):
            return self.recipe.problem(place, message)
        file, _, line = place.rpartition(":")
        return Problem(file, int(line or 0), 1, message)


def named_columns(recipe: Recipe) -> Iterator[tuple[str, Path | str]]:
    """Each column that a recipe names, with its path in the recipe or its `file:line` in another file."""
    for rule in recipe.rules:
        place = recipe.rule_places.get(rule.id, "")
        yield from ((column, place) for column in _columns_of(rule))
    for place, category in zip(recipe.category_places, recipe.categories, strict=True):
        yield from ((column, place) for column in _columns_of(category))
    for grader_name, grader in recipe.graders.items():
        if grader.column is not None:
            yield grader.column, ("graders", grader_name, "column")
        if grader.table is not None and grader.key != "id":
            yield grader.key, ("graders", grader_name, "key")


def stored_column(source_column: str) -> str:
    """The name under which `rows` holds one of a source's own columns.

    A column of a reserved name, or of one that conversations have in `rows`, is kept as `source.<name>`. A recipe may write
    `source.` before any column's name.
    """
    plain = source_column.removeprefix("source.")
    return f"source.{plain}" if plain in RESERVED_COLUMNS or plain in CONVERSATION_COLUMNS else plain


def kept_type(kinds: Sequence[str]) -> str:
    """The type under which a source's own column is kept, from its types in the sources that have it.

    Whole numbers are kept exactly: a DOUBLE holds them up to 2^53 only.
    """
    found = {_kept(kind) for kind in kinds}
    if len(found) == 1:
        return found.pop()
    return next((kind for kind in ("DOUBLE", "HUGEINT") if kind in found and found <= _NUMERIC), "VARCHAR")


_NUMERIC = {"BIGINT", "HUGEINT", "DOUBLE"}


def _kept(kind: str) -> str:
    """The kept type of one source's column: BOOLEAN, BIGINT, HUGEINT, DOUBLE or VARCHAR."""
    if kind == "BOOLEAN":
        return kind
    if kind in _INTEGERS:
        return "BIGINT"
    if kind in _LARGE_INTEGERS:
        return "HUGEINT"
    return "DOUBLE" if kind in _FRACTIONS or re.fullmatch(r"DECIMAL\([0-9]+,[0-9]+\)", kind) else "VARCHAR"


def _columns_of(part: Rule | Category) -> list[str]:
    if part.where is not None:
        return list(parse_where(part.where))
    if isinstance(part, Rule) and check_plugins()[checks_of(part)[0][0]].WHOLE_ROWS:
        return []
    return [part.column] if part.column is not None else []
