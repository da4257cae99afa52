"""A rule -> the SQL that holds for a failing row.

A check passes over nulls, as pandera's do; `not_nullable` is the check for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual import quote as sql
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.expression import render_where
from alpaqual.recipe.model import Duplicates, Length, Range, Rule

Column = Callable[[str], str]
"""Gives the quoted column of `rows` for a column name that a recipe uses."""

_COMPARE = {
    "greater_than": ">",
    "greater_than_or_equal_to": ">=",
    "less_than": "<",
    "less_than_or_equal_to": "<=",
}


@dataclass(frozen=True)
class Failing:
    """When a row fails a rule.

    `predicate` is boolean SQL over `rows`; where it needs other rows, it looks its row number up in `helper`, a query of
    the row numbers `n` that fail. `value` is what a report shows of the row.
    """

    rule: str
    column: str
    predicate: str
    value: str
    helper: tuple[str, str] | None = None


def failing(rule: Rule, position: int, column: Column) -> Failing:
    """The SQL of one rule; `position` makes the helper's name."""
    if rule.where is not None:
        predicate = f"NOT ({render_where(rule.where, column)})"
        return Failing(rule.id, "", f"COALESCE({predicate}, FALSE)", "CAST(NULL AS VARCHAR)")
    check, argument = checks_of(rule)[0]
    if check in ("no_duplicates", "no_conflicts", "unique"):
        return _among_rows(rule, position, check, argument, column)
    named = column(str(rule.column))
    return Failing(rule.id, str(rule.column), _predicate(check, argument, named), f"CAST({named} AS VARCHAR)")


_TEXT_CHECKS = {
    "str_matches": "NOT REGEXP_MATCHES({text}, {value})",
    "str_contains": "NOT REGEXP_MATCHES({text}, {value})",
    "not_matches": "REGEXP_MATCHES({text}, {value})",
    "str_startswith": "NOT STARTS_WITH({text}, {value})",
    "str_endswith": "NOT ENDS_WITH({text}, {value})",
}


def _predicate(check: str, argument: Any, column: str) -> str:
    if check == "not_nullable":
        return f"{column} IS NULL"
    text = f"CAST({column} AS VARCHAR)"
    if isinstance(argument, Length):
        wrong = _outside(f"LENGTH({text})", argument.min, argument.max)
    elif isinstance(argument, Range):
        value = f"TRY_CAST({column} AS DOUBLE)"
        ends = [None if end is None else sql.number(end) for end in (argument.min, argument.max)]
        wrong = f"{_outside(value, *ends)} OR ({value} IS NULL AND {column} IS NOT NULL) OR ISNAN({value})"
    elif check in _TEXT_CHECKS:
        pattern = f"^(?:{argument})" if check == "str_matches" else argument
        wrong = _TEXT_CHECKS[check].format(text=text, value=sql.literal(pattern))
    elif check in ("isin", "notin", "equal_to", "not_equal_to"):
        inside = among(column, argument if isinstance(argument, list) else [argument])
        wrong = f"{column} IS NOT NULL AND NOT ({inside})" if check in ("isin", "equal_to") else inside
    else:
        value = f"TRY_CAST({column} AS DOUBLE)"
        wrong = f"NOT ({value} {_COMPARE[check]} {sql.number(argument)}) OR ({value} IS NULL AND {column} IS NOT NULL)"
    return f"COALESCE({wrong}, FALSE)"


def among(column: str, values: Sequence[Any]) -> str:
    """SQL that is true where the column has one of the values, each compared as what it is: truth value, number or text."""
    truths = [sql.literal(value) for value in values if isinstance(value, bool)]
    numbers = [sql.number(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    texts = [sql.literal(value) for value in values if isinstance(value, str)]
    kinds = (("TRY_CAST({} AS BOOLEAN)", truths), ("TRY_CAST({} AS DOUBLE)", numbers), ("CAST({} AS VARCHAR)", texts))
    parts = [f"COALESCE({cast.format(column)} IN ({', '.join(alike)}), FALSE)" for cast, alike in kinds if alike]
    return " OR ".join(parts)


def _outside(value: str, low: object, high: object) -> str:
    sides = [f"{value} < {low}"] if low is not None else []
    sides += [f"{value} > {high}"] if high is not None else []
    return " OR ".join(sides)


def normalised(column: str) -> str:
    """A text's letters and digits in lower case, words parted by one space."""
    return f"TRIM(REGEXP_REPLACE(LOWER(COALESCE({column}, '')), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'))"


def joined_key(parts: list[str]) -> str:
    """One md5 over several texts that cannot run into each other: each is preceded by its length."""
    pieces = ", ".join(f"LENGTH({part}), ':', {part}" for part in parts)
    return f"MD5(CONCAT({pieces}))"


def _among_rows(rule: Rule, position: int, check: str, argument: object, column: Column) -> Failing:
    helper = f"group{position}"
    in_helper = f"n IN (SELECT n FROM {helper})"
    if check == "unique":
        named = column(str(rule.column))
        query = (
            f"SELECT n FROM rows WHERE {named} IN "
            f"(SELECT {named} FROM rows WHERE {named} IS NOT NULL GROUP BY {named} HAVING COUNT(*) > 1)"
        )
        return Failing(rule.id, str(rule.column), in_helper, f"CAST({named} AS VARCHAR)", (helper, query))
    if check == "no_conflicts":
        key = joined_key(["COALESCE(instruction, '')", "COALESCE(input, '')"])
        query = (
            f"WITH keyed AS MATERIALIZED (SELECT n, {key} AS k, MD5(COALESCE(response, '')) AS said FROM rows) "
            "SELECT n FROM keyed WHERE k IN (SELECT k FROM keyed GROUP BY k HAVING MIN(said) <> MAX(said))"
        )
        return Failing(rule.id, "response", in_helper, "instruction", (helper, query))
    settings = argument if isinstance(argument, Duplicates) else Duplicates()
    if not settings.normalised and len(settings.columns) == 3:
        # The id of an exact copy says so (values.Row).
        return Failing(rule.id, ", ".join(settings.columns), "CONTAINS(id, '-')", "instruction")
    parts = [normalised(part) if settings.normalised else f"COALESCE({part}, '')" for part in settings.columns]
    query = (
        f"WITH keyed AS MATERIALIZED (SELECT n, id, {joined_key(parts)} AS k FROM rows) SELECT n FROM keyed JOIN "
        "(SELECT k, MIN(id) AS first FROM keyed GROUP BY k HAVING COUNT(*) > 1) AS repeated USING (k) WHERE id <> first"
    )
    return Failing(rule.id, ", ".join(settings.columns), in_helper, "instruction", (helper, query))
