"""A rule -> the SQL that is true for a failing row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from alpaqual import sql
from alpaqual.plan.turns import TURN_TEXTS, failing_turns, turn_texts
from alpaqual.quote import literal
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.expression import parse_where, render_where
from alpaqual.recipe.model import Rule

_SHOWN = 60
"""Characters of one of several values."""


@dataclass(frozen=True)
class Columns:
    """The columns of `rows` that rules and categories name.

    `quoted` gives the quoted column for a name of a recipe; `fractions` are the quoted columns that may hold NaN; `computed`
    has the SQL of quoted names that are no columns of `rows`.
    `conversations`: whether `rows` has turns.
    """

    quoted: Callable[[str], str]
    fractions: frozenset[str] = frozenset()
    computed: Mapping[str, str] = field(default_factory=dict)
    conversations: bool = False

    def sql(self, column: str) -> str:
        """SQL of the value that a name of a recipe means."""
        quoted = self.quoted(column)
        return self.computed.get(quoted, quoted)

    def where(self, expression: str) -> str:
        """A `where:` of a recipe as SQL over `rows`."""
        return render_where(expression, self.quoted, self.fractions, self.computed)


@dataclass(frozen=True)
class Failing:
    """When a row fails a rule.

    `predicate` is boolean SQL over `rows`, never null. A rule that needs other rows, or turns, has `helpers`, the names and texts
    of queries. The last one is of the row numbers `n` that fail, and its predicate looks `n` up there. `value` is what a report
    shows of the row `m`.
    """

    rule: str
    column: str
    predicate: str
    value: str
    helpers: tuple[tuple[str, str], ...] = ()


def failing(rule: Rule, position: int, columns: Columns) -> Failing:
    """The SQL of one rule; `position` makes the helper's name."""
    helper = f"group{position}"
    among = f"n IN (SELECT n FROM {helper})"
    if (turns := rule.checked_turns) is not None:
        made = ((TURN_TEXTS, turn_texts(conversations=columns.conversations)), (helper, failing_turns(rule, turns)))
        return Failing(
            rule.id, rule.checked, among, f"(SELECT value FROM {helper} AS turned WHERE turned.n = m.n)", made
        )
    if rule.where is not None:
        predicate = f"NOT ({columns.where(rule.where)})"
        compared = parse_where(rule.where)
        return Failing(rule.id, ", ".join(compared), sql.or_false(predicate), _values_of(compared, columns))
    check, argument = checks_of(rule)[0]
    named = columns.sql(rule.column) if rule.column is not None else ""
    found = check_plugins()[check].failing(argument, named)
    shown, value = found.column or str(rule.column), found.value or sql.text(named)
    if not found.query:
        return Failing(rule.id, shown, found.predicate, value)
    return Failing(rule.id, shown, among, value, ((helper, found.query),))


def _values_of(named: Sequence[str], columns: Columns) -> str:
    """SQL: the values of the columns that an expression names, as text; with their names where there are several."""
    values = [sql.text(columns.sql(column)) for column in named]
    if len(values) < 2:
        return values[0] if values else sql.text("NULL")
    shown = (
        f"{literal(f'{column}: ')} || COALESCE(LEFT({value}, {_SHOWN}), 'null')"
        for column, value in zip(named, values, strict=True)
    )
    return f"CONCAT_WS('; ', {', '.join(shown)})"
