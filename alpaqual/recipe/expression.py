"""A `where:` expression: parsed and walked, so that only columns, literals, operators and plain functions pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from alpaqual.recipe.patterns import pattern_problem

_OPERATORS = [
    "And",
    "Or",
    "Not",
    "Paren",
    "EQ",
    "NEQ",
    "GT",
    "GTE",
    "LT",
    "LTE",
    "Is",
    "NullSafeEQ",
    "NullSafeNEQ",
    "Between",
    "In",
    "Like",
    "ILike",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "IntDiv",
    "Mod",
    "Neg",
    "DPipe",
    "Case",
    "If",
    "Cast",
    "TryCast",
    "Escape",
]
_LEAVES = ["Column", "Identifier", "Literal", "Boolean", "Null", "DataType"]
_FUNCTIONS = {
    "Length": "length", "Lower": "lower", "Upper": "upper", "Trim": "trim", "Coalesce": "coalesce", "Nullif": "nullif",
    "Abs": "abs", "Round": "round", "Floor": "floor", "Ceil": "ceil", "Least": "least", "Greatest": "greatest",
    "StrPosition": "strpos", "Substring": "substring", "Left": "left", "Right": "right", "Replace": "replace", "Concat": "concat",
    "Contains": "contains", "StartsWith": "starts_with", "EndsWith": "ends_with", "RegexpLike": "regexp_matches",
    "RegexpReplace": "regexp_replace",
}  # fmt: skip
_TRUTHS = [
    "And",
    "Or",
    "Not",
    "EQ",
    "NEQ",
    "GT",
    "GTE",
    "LT",
    "LTE",
    "Is",
    "NullSafeEQ",
    "NullSafeNEQ",
    "Between",
    "In",
    "Like",
    "ILike",
    "Boolean",
    "Column",
    "Case",
    "Cast",
    "TryCast",
    "Escape",
    "If",
    "Coalesce",
    "Contains",
    "StartsWith",
    "EndsWith",
    "RegexpLike",
]

FUNCTIONS = tuple(sorted(_FUNCTIONS.values()))
"""The functions that a `where:` may call."""


class ExpressionError(ValueError):
    """What is wrong with an expression, for the reader of the recipe."""


@cache
def parse_where(text: str) -> tuple[str, ...]:
    """The columns that the expression names, in order; `source.<name>` for a source's own column of a reserved name.

    Raises ExpressionError.
    """
    return tuple(dict.fromkeys(_name(node) for node in _tree(text).walk() if type(node).__name__ == "Column"))


def render_where(text: str, column: Callable[[str], str]) -> str:
    """The expression as SQL, each column name replaced by what `column` gives for it (quoted SQL)."""
    import sqlglot

    tree = _tree(text).copy()
    tree = tree.transform(
        lambda node: (
            sqlglot.parse_one(column(_name(node)), dialect="duckdb") if type(node).__name__ == "Column" else node
        )
    )
    return str(tree.sql(dialect="duckdb", identify=True, comments=False))


@cache
def _tree(text: str) -> Any:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        trees = [tree for tree in sqlglot.parse(text, dialect="duckdb") if tree is not None]
    except SqlglotError as error:
        reason = str(error).splitlines()[0].split(". Line")[0]
        if reason.startswith("Required keyword"):
            reason = "something is missing after an operator or in a function"
        raise ExpressionError(f"not a SQL expression: {_plain(reason)}") from None
    except RecursionError:
        raise ExpressionError("not a SQL expression: nested too deeply") from None
    if len(trees) != 1:
        raise ExpressionError("write one SQL expression, without ';'")
    for node in trees[0].walk():
        _allow(node)
    top: Any = trees[0]
    while type(top).__name__ == "Paren":
        top = top.this
    if type(top).__name__ not in _TRUTHS:
        raise ExpressionError("the expression must be true or false: compare something, as in length(response) > 9")
    return trees[0]


def _allow(node: Any) -> None:
    kind = type(node).__name__
    if kind == "Column" and len(node.parts) > 1 and (len(node.parts) > 2 or node.parts[0].name != "source"):
        raise ExpressionError(f"'{node.sql()}': write a column's name, or source.<name>")
    pattern = node.expression if kind in ("RegexpLike", "RegexpReplace") else None
    if pattern is not None and pattern.is_string and (problem := pattern_problem(pattern.name)):
        raise ExpressionError(problem)
    if kind in _OPERATORS or kind in _LEAVES or kind in _FUNCTIONS:
        return
    name = node.name if kind == "Anonymous" else kind.lower()
    raise ExpressionError(
        f"'{name}' is not allowed here; columns, literals, operators and these functions are: {', '.join(FUNCTIONS)}"
    )


def _name(column: Any) -> str:
    return ".".join(part.name for part in column.parts)


def _plain(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:120]
