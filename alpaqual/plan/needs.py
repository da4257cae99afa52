"""What rules and graders need of the data: a column of numbers, keys that match. The answer is an error with a sample value."""

from __future__ import annotations

from collections.abc import Iterator

from alpaqual.errors import Problem
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.stage import Need
from alpaqual.plan.tables import IMPORTED
from alpaqual.quote import literal
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.graders import Grader, Scale
from alpaqual.recipe.model import Rule

_SHOWN = 40
"""Characters of a sample value."""


def takes_truths(scale: Scale) -> bool:
    """Whether true and false count as 1 and 0 on a scale."""
    return (scale.min, scale.max) == (0, 1)


def rule_needs(compilation: Compilation) -> Iterator[Need]:
    """A need for each rule that compares numbers in a column of texts. A column of truth values is a problem at once."""
    for rule in compilation.recipe.rules:
        check = _number_check(rule)
        if check is None or rule.column is None:
            continue
        kind = compilation.columns.type(rule.column)
        file, _, line = compilation.recipe.rule_places.get(rule.id, "").rpartition(":")
        about = f"rule '{rule.id}': '{check}' compares numbers, and the column '{rule.column}'"
        if kind == "BOOLEAN":
            message = f"{about} holds true and false: use equal_to, such as 'equal_to: true'"
            compilation.problems.append(Problem(file, int(line or 0), 1, message))
        elif kind == "VARCHAR":
            query = without_numbers(compilation.columns.sql(rule.column), "rows")
            yield Need(query, Problem(file, int(line or 0), 1, about + " holds none, such as {sample}"))


def grader_needs(compilation: Compilation, grader_name: str, grader: Grader) -> Iterator[Need]:
    """What a grader needs whose scores are in a column or a table."""
    if grader.column is not None:
        yield from _column_needs(compilation, grader_name, grader, grader.column)
    elif grader.table is not None:
        key = compilation.columns.key(grader.key)[0]
        hint = "CASE WHEN EXISTS (SELECT 1 FROM rows JOIN {0} ON rows.id = {0}.key) THEN {1} ELSE '' END"
        hint = hint.format(IMPORTED, literal(": its keys are row ids, so write key: row.id"))
        own, given = (f"MIN({sql})" for sql in (key, f"{IMPORTED}.key"))
        query = (
            f"SELECT {shown(f'(SELECT {given} FROM {IMPORTED})')} AS given, {shown(f'(SELECT {own} FROM rows)')} AS own, {hint} AS hint "
            f"WHERE NOT EXISTS (SELECT 1 FROM rows JOIN {IMPORTED} ON {key} = {IMPORTED}.key) "
            f"AND (SELECT {own} FROM rows) IS NOT NULL AND EXISTS (SELECT 1 FROM {IMPORTED})"
        )
        message = f"no key of {grader.table} is one of a row: the table has {{given}}, the rows have {{own}}{{hint}}"
        yield _at(compilation, ("graders", grader_name, "key"), query, message)


def _column_needs(compilation: Compilation, grader_name: str, grader: Grader, column: str) -> Iterator[Need]:
    kind, place = compilation.columns.type(column), ("graders", grader_name, "column")
    scale, truths = grader.scale, takes_truths(grader.scale)
    if kind == "BOOLEAN" and not truths:
        message = (
            f"the column '{column}' holds true and false, which count as 1 and 0, and the scale is {scale.min:g} to {scale.max:g}: "
            "write scale: {min: 0, max: 1}, or name a column of scores"
        )
        compilation.problems.append(compilation.recipe.problem(place, message))
    elif kind == "VARCHAR":
        query = without_numbers(compilation.columns.sql(column), "rows", truths=truths)
        message = f"the column '{column}' holds no number, such as {{sample}}: name a column of scores"
        yield _at(compilation, place, query, message)


def _at(compilation: Compilation, place: tuple[str, ...], query: str, message: str) -> Need:
    return Need(query, compilation.recipe.problem(place, message))


def without_numbers(column: str, table: str, *, truths: bool = False) -> str:
    """SQL: a sample value where no value of a column is a number; with `truths`, true and false are numbers."""
    value = f"NULLIF(CAST({column} AS VARCHAR), '')"
    number = f"TRY_CAST({value} AS DOUBLE) IS NOT NULL"
    if truths:
        number += f" OR LOWER({value}) IN ('true', 'false')"
    counted = f"COUNT({value}) > 0 AND COUNT(*) FILTER (WHERE {number}) = 0"
    return f"SELECT {shown(f'MIN({value})')} AS sample FROM {table} HAVING {counted}"


def shown(text: str) -> str:
    """SQL: a value as a message quotes it."""
    return f"CONCAT('''', LEFT({text}, {_SHOWN}), '''')"


def _number_check(rule: Rule) -> str | None:
    """The check of a rule that compares numbers."""
    if rule.where is not None:
        return None
    check, _ = checks_of(rule)[0]
    return check if check_plugins()[check].NUMBERS else None
