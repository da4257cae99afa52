"""The stage `categorising`: the rows of every category, with the keywords found in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec

from alpaqual.plan.checks import Columns
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.facts import CategoryFacts, StageFacts
from alpaqual.plan.loading import LoadStage
from alpaqual.plan.stage import Facts, KeptTable, Stage
from alpaqual.plan.tables import ROW_CATEGORIES
from alpaqual.quote import literal, texts
from alpaqual.recipe.model import Category
from alpaqual.sql import among
from alpaqual.values import ROW_FIELDS


@dataclass(frozen=True, kw_only=True)
class CategorizeStage(Stage):
    """Finds the rows of each category."""

    kind: ClassVar[str] = "categorising"
    facts: ClassVar[type[StageFacts]] = CategoryFacts
    categories: tuple[Category, ...]
    places: tuple[str, ...]
    """`file:line` of each category."""
    columns: Columns = field(compare=False, repr=False)

    @property
    def parts(self) -> Iterator[tuple[str, str]]:
        for place, category in zip(self.places, self.categories, strict=True):
            yield place, row_categories([category], self.columns)


def categorize_stages(compilation: Compilation) -> Iterator[CategorizeStage]:
    """The one stage that finds the categories of a recipe; none where it has no categories."""
    categories, places = compilation.recipe.categories, compilation.recipe.category_places
    columns = compilation.columns.named
    if not categories:
        return
    described = {
        category.category or f"column {category.column}": {
            key: value for key, value in msgspec.to_builtins(category).items() if key not in ("category", "description")
        }
        for category in categories
    }
    yield CategorizeStage(
        settings={"categories": described},
        inputs=compilation.inputs((LoadStage, "")),
        statements=tuple(_statements(categories, columns)),
        categories=tuple(categories),
        places=tuple(places),
        columns=columns,
    )


def _statements(categories: Sequence[Category], columns: Columns) -> Iterator[KeptTable | Facts]:
    yield KeptTable(ROW_CATEGORIES, row_categories(categories, columns))
    counts = f"SELECT category, COUNT(*) AS rows FROM {ROW_CATEGORIES} GROUP BY category ORDER BY category"
    yield Facts("category_rows", counts)
    hits = [
        f"SELECT {literal(category.category)} AS category, {position} AS keyword, COUNT(*) AS rows FROM {ROW_CATEGORIES} "
        f"WHERE category = {literal(category.category)} AND (hits & {1 << position}) <> 0"
        for category in categories
        for position in range(len(category.keywords or ()))
    ]
    if hits:
        yield Facts("keywords", "\nUNION ALL\n".join(hits) + "\nORDER BY category, keyword")


def row_categories(categories: Sequence[Category], columns: Columns) -> str:
    """SQL: category, n, id and hits of the rows of every category; `hits` has a bit for each keyword."""
    declared = [category.category for category in categories if category.category is not None]
    return "\nUNION ALL\n".join(_rows_of(category, columns, declared) for category in categories)


def _rows_of(category: Category, columns: Columns, declared: Sequence[str]) -> str:
    """SQL: category, n, id and hits of the rows of one category."""
    called = literal(category.category)
    if category.keywords is not None:
        over = category.over or ROW_FIELDS
        bits = "\n  + ".join(
            f"CASE WHEN {_contains(over, keyword)} THEN {1 << position} ELSE 0 END"
            for position, keyword in enumerate(category.keywords)
        )
        return f"SELECT {called} AS category, n, id, hits FROM (SELECT n, id, CAST({bits} AS BIGINT) AS hits FROM rows) AS marked WHERE hits <> 0"
    chosen = f"SELECT {called} AS category, n, id, CAST(0 AS BIGINT) AS hits FROM rows WHERE"
    if category.pattern is not None:
        return f"{chosen} REGEXP_MATCHES({_joined(category.over or ROW_FIELDS)}, {literal(category.pattern)})"
    if category.where is not None:
        return f"{chosen} {columns.where(category.where)}"
    own = columns.sql(str(category.column))
    if category.values is not None:
        return f"{chosen} {among(own, category.values)}"
    # A category from a whole number in a column of numbers is named 1, not 1.0.
    named = f"REGEXP_REPLACE(CAST({own} AS VARCHAR), '^(-?[0-9]+)[.]0$', '\\1')"
    # A category that the recipe defines keeps its rows where a value of the column has the same name.
    other = f" AND {named} NOT IN {texts(declared)}" if declared else ""
    return (
        f"SELECT {named} AS category, n, id, CAST(0 AS BIGINT) AS hits FROM rows "
        f"WHERE {named} IS NOT NULL AND {named} <> ''{other}"
    )


def _joined(over: Sequence[str]) -> str:
    """The texts joined by a newline, as the paper's appendix E counts (instruction, input, output) tuples."""
    return f"CONCAT_WS(CHR(10), {', '.join(over)})" if len(over) > 1 else over[0]


def _contains(over: Sequence[str], keyword: str) -> str:
    if "\n" in keyword:
        return f"CONTAINS({_joined(over)}, {literal(keyword)})"
    return " OR ".join(f"CONTAINS({part}, {literal(keyword)})" for part in over)
