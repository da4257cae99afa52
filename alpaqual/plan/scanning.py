"""Rules -> the table `failures`; categories -> the table `members`. One scan of the rows for each."""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.plan.checks import Column, among, failing
from alpaqual.plan.plan import Kind, Query
from alpaqual.quote import literal, texts
from alpaqual.recipe.expression import render_where
from alpaqual.recipe.model import Category, Rule
from alpaqual.values import ROW_FIELDS

_MASK_BITS = 60
_VALUE_CHARACTERS = 200


def checking_queries(rules: Sequence[Rule], column: Column) -> list[Query]:
    """Every failing row of every rule with its id and the value that failed, and the exact count for each rule.

    A row's failures are the bits of one number, so that the text is read once however many rules there are.
    """
    parts = [rules[start : start + _MASK_BITS] for start in range(0, len(rules), _MASK_BITS)]
    union = "\nUNION ALL\n".join(_failures(part, start * _MASK_BITS, column) for start, part in enumerate(parts))
    counts = "SELECT rule, COUNT(*) AS rows FROM failures GROUP BY rule ORDER BY rule"
    return [Query("failures", union, Kind.TABLE), Query("failing", counts, Kind.FACTS)]


def _failures(rules: Sequence[Rule], start: int, column: Column) -> str:
    found = [failing(rule, start + position, column) for position, rule in enumerate(rules)]
    helpers = "".join(f"{fail.helper[0]} AS ({fail.helper[1]}),\n" for fail in found if fail.helper)
    mask = "\n  + ".join(f"CASE WHEN {fail.predicate} THEN {1 << bit} ELSE 0 END" for bit, fail in enumerate(found))
    listed = ", ".join(f"({1 << bit}, {literal(fail.rule)}, {literal(fail.column)})" for bit, fail in enumerate(found))
    values = " ".join(f"WHEN {1 << bit} THEN {fail.value}" for bit, fail in enumerate(found))
    return (
        f"WITH {helpers}marked AS (SELECT *, {mask} AS mask FROM rows)\n"
        f'SELECT r.rule AS rule, m.n AS n, m.id AS id, r.checked AS "column", LEFT(CASE r.bit {values} END, {_VALUE_CHARACTERS}) AS value\n'
        f"FROM (SELECT * FROM marked WHERE mask <> 0) AS m JOIN (VALUES {listed}) AS r (bit, rule, checked) ON (m.mask & r.bit) <> 0"
    )


def categorising_queries(categories: Sequence[Category], column: Column) -> list[Query]:
    """The rows of every category, with the keywords found in each as bits of `hits`."""
    declared = [category.category for category in categories if category.category is not None]
    union = "\nUNION ALL\n".join(_members(category, column, declared) for category in categories)
    queries = [
        Query("members", union, Kind.TABLE),
        Query(
            "members",
            "SELECT category, COUNT(*) AS rows FROM members GROUP BY category ORDER BY category",
            Kind.FACTS,
        ),
    ]
    hits = [
        f"SELECT {literal(category.category)} AS category, {position} AS keyword, COUNT(*) AS rows FROM members "
        f"WHERE category = {literal(category.category)} AND (hits & {1 << position}) <> 0"
        for category in categories
        for position in range(len(category.keywords or ()))
    ]
    if hits:
        queries.append(Query("keywords", "\nUNION ALL\n".join(hits) + "\nORDER BY category, keyword", Kind.FACTS))
    return queries


def _members(category: Category, column: Column, declared: Sequence[str]) -> str:
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
        return f"{chosen} {render_where(category.where, column)}"
    own = column(str(category.column))
    if category.values is not None:
        return f"{chosen} {among(own, category.values)}"
    # A whole number in a column of numbers is called 1, not 1.0.
    named = f"REGEXP_REPLACE(CAST({own} AS VARCHAR), '^(-?[0-9]+)[.]0$', '\\1')"
    # A category that the recipe defines by itself keeps that meaning, whatever the column calls by the same name.
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
