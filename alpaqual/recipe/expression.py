"""A `where:` expression: parsed, checked against the allowed SQL, and written with the columns of a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from alpaqual.quote import name as quoted
from alpaqual.recipe.allowed_sql import FUNCTIONS, TYPES, ExpressionError, check_tree, kind, plain

__all__ = ["FUNCTIONS", "TYPES", "ExpressionError", "parse_where", "render_where", "truth_columns"]


_PLAIN = r"""(?:\s*(?:
    [A-Za-z_][A-Za-z0-9_]*(?:[.][A-Za-z_][A-Za-z0-9_]*)?(?![\w.'"])  # a word, not the E of E'a'
  | [0-9]+(?:[.][0-9]+)?(?![\w.'])
  | '(?:[^'\0]|'')*'(?!\s*')
  | <=|>=|<>|!=|\|\||[=<>(),+*%]|-(?!-)|/(?![/*])
)){1,150}\s*"""
"""Few words, numbers, texts and operators: no quoted names, comments or casts."""


@cache
def parse_where(text: str) -> tuple[str, ...]:
    """The columns that the expression names, in order; `source.<name>` and `row.<name>` with what is before the dot.

    Raises ExpressionError. A plain expression is not rendered here: the plan renders it and checks what it rendered.
    """
    if not re.fullmatch(_PLAIN, text, re.VERBOSE):
        render_where(text, quoted)
    return tuple(dict.fromkeys(_name(node) for node in _columns(_tree(text))))


@cache
def truth_columns(text: str) -> tuple[str, ...]:
    """The columns that the expression takes for true or false as they are, as `checked` in `checked AND score > 3`.

    Raises ExpressionError.
    """
    found, waiting = [], [_tree(text)]
    while waiting:
        node = waiting.pop(0)
        if kind(node) == "Column":
            found.append(_name(node))
        waiting += _truths(node)
    return tuple(dict.fromkeys(found))


def _truths(node: Any) -> list[Any]:
    """The parts of a node that are true or false where the node is."""
    match kind(node):
        case "Paren" | "Not":
            return [node.this]
        case "And" | "Or":
            return [node.this, node.expression]
        case "Coalesce":
            return [node.this, *node.expressions]
        case "Case":
            asked = [] if node.this else [branch.this for branch in node.args["ifs"]]
            values = [branch.args["true"] for branch in node.args["ifs"]]
            return [*asked, *values, *filter(None, [node.args.get("default")])]
        case "If":
            return [node.this, node.args["true"], *filter(None, [node.args.get("false")])]
    return []


def render_where(
    text: str,
    column: Callable[[str], str],
    fractions: Collection[str] = (),
    computed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The expression as SQL, each column name replaced by what `column` gives for it: a quoted name.

    `fractions` are the quoted names of columns that may hold NaN. A NaN is neither greater nor less than a number; DuckDB
    takes it for the greatest. `computed` has the SQL of quoted names that are no columns. The expression with its columns is parsed and checked again: it holds allowed SQL and the given
    columns alone. Raises ExpressionError.
    """
    names = dict.fromkeys(_name(node) for node in _columns(_tree(text)))
    pairs = tuple((name, column(name)) for name in names)
    rendered = _rendered(text, pairs)
    wide = frozenset(sql for _, sql in pairs if sql in fractions)
    rendered = _without_nan(rendered, wide) if wide else rendered
    expressions = tuple((sql, computed[sql]) for _, sql in pairs if sql in computed)
    return _with_computed(rendered, expressions) if expressions else rendered


@cache
def _rendered(text: str, columns: tuple[tuple[str, str], ...]) -> str:
    """The expression with (name, quoted name) pairs of columns. A plan renders an expression several times."""
    from sqlglot import exp

    given = {name: _unquoted(name, sql) for name, sql in columns}

    def replaced(node: Any) -> Any:
        if kind(node) != "Column":
            return node
        return exp.column(exp.to_identifier(given[_name(node)], quoted=True))

    try:
        rendered = str(_tree(text).copy().transform(replaced).sql(dialect="duckdb", identify=True, comments=False))
    except RecursionError:
        raise ExpressionError("not a SQL expression: nested too deeply") from None
    if {_name(node) for node in _columns(_parsed(rendered))} - set(given.values()):
        raise ExpressionError(f"'{plain(rendered)}' names other columns than the expression: write it in another way")
    return rendered


@cache
def _without_nan(rendered: str, fractions: frozenset[str]) -> str:
    """A rendered expression, in which comparisons of a NaN are false."""
    from sqlglot import exp

    def compared(node: Any) -> Any:
        if kind(node) not in _ORDERS:
            return node
        found = dict.fromkeys(
            column.sql(dialect="duckdb", identify=True)
            for column in _columns(node)
            if column.find_ancestor(*(getattr(exp, order) for order in _ORDERS)) is node
        )
        sure = [
            exp.Not(this=exp.func("ISNAN", exp.column(exp.to_identifier(sql[1:-1].replace('""', '"'), quoted=True))))
            for sql in found
            if sql in fractions
        ]
        return exp.Paren(this=exp.and_(node.copy(), *sure)) if sure else node

    return str(_parsed(rendered).copy().transform(compared).sql(dialect="duckdb", identify=True, comments=False))


@cache
def _with_computed(rendered: str, expressions: tuple[tuple[str, str], ...]) -> str:
    """A rendered expression, in which (quoted name, SQL) pairs are put in for columns."""
    import sqlglot

    given = {name: sqlglot.parse_one(f"({sql})", dialect="duckdb") for name, sql in expressions}

    def replaced(node: Any) -> Any:
        if kind(node) != "Column":
            return node
        found = given.get(node.sql(dialect="duckdb", identify=True))
        return node if found is None else found.copy()

    return str(_parsed(rendered).copy().transform(replaced).sql(dialect="duckdb", identify=True, comments=False))


_ORDERS = ("GT", "GTE", "LT", "LTE")


def _unquoted(name: str, sql: str) -> str:
    """The name in a quoted identifier. Raises ExpressionError where the SQL is anything else."""
    inner = sql[1:-1].replace('""', "")
    if len(sql) < 3 or sql[0] != '"' or sql[-1] != '"' or '"' in inner or "\x00" in sql:
        raise ExpressionError(f"the column '{plain(name)}' has no plain name in SQL")
    return sql[1:-1].replace('""', '"')


@cache
def _tree(text: str) -> Any:
    return _parsed(text)


def _parsed(text: str) -> Any:
    """The syntax tree of one allowed expression."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    if "\x00" in text:
        raise ExpressionError("not a SQL expression: it holds a null character")
    try:
        trees = [tree for tree in sqlglot.parse(text, dialect="duckdb") if tree is not None]
    except SqlglotError as error:
        reason = str(error).splitlines()[0].split(". Line")[0]
        if reason.startswith("Required keyword"):
            reason = "something is missing after an operator or in a function"
        raise ExpressionError(f"not a SQL expression: {plain(reason)}") from None
    except RecursionError:
        raise ExpressionError("not a SQL expression: nested too deeply") from None
    if len(trees) != 1:
        raise ExpressionError("write one SQL expression, without ';'")
    check_tree(trees[0])
    return trees[0]


def _columns(tree: Any) -> list[Any]:
    return [node for node in tree.walk() if kind(node) == "Column"]


def _name(column: Any) -> str:
    return ".".join(part.name for part in column.parts)
