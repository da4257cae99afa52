"""The SQL that a `where:` may hold: each kind of node with the parts it may have.

The tree is sqlglot's. A kind that is not listed is refused, and so is a part that is not listed for its kind: nothing that
this file does not name gets into a query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from alpaqual.fields import ROW_VALUES, TURN_VALUES
from alpaqual.patterns import pattern_problem

_OWN = {"row": ROW_VALUES, "turn": TURN_VALUES}
"""alpaqual's own values, by what is before the dot."""

Parts = dict[str, str]
"""Part of a node -> what it holds: `value`, `values`, `branches`, `type`, `text` (a string literal) or `side`."""

_COMPARE = ("And", "Or", "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "Is", "NullSafeEQ", "NullSafeNEQ", "Like", "ILike")
_COMPUTE = ("Add", "Sub", "Mul", "Div", "IntDiv", "Mod", "DPipe")
_OPERATORS: dict[str, Parts] = {
    **{kind: {"this": "value", "expression": "value"} for kind in _COMPARE + _COMPUTE},
    **{kind: {"this": "value"} for kind in ("Not", "Paren", "Neg")},
    **{kind: {"this": "value", "to": "type"} for kind in ("Cast", "TryCast")},
    "Between": {"this": "value", "low": "value", "high": "value"},
    "In": {"this": "value", "expressions": "values"},
    "Escape": {"this": "value", "expression": "text"},
    "Case": {"this": "value", "ifs": "branches", "default": "value"},
    "If": {"this": "value", "true": "value", "false": "value"},
}


def _function(name: str, *parts: str, **others: str) -> tuple[str, Parts]:
    return name, {"this": "value", **dict.fromkeys(parts, "value"), **others}


_FUNCTIONS: dict[str, tuple[str, Parts]] = {
    "Length": _function("length"),
    "Lower": _function("lower"),
    "Upper": _function("upper"),
    "Trim": _function("trim", "expression", position="side"),
    "Coalesce": _function("coalesce", expressions="values"),
    "Nullif": _function("nullif", "expression"),
    "Abs": _function("abs"),
    "Round": _function("round", "decimals"),
    "Floor": _function("floor"),
    "Ceil": _function("ceil"),
    "Least": _function("least", expressions="values"),
    "Greatest": _function("greatest", expressions="values"),
    "StrPosition": _function("strpos", "substr"),
    "Substring": _function("substring", "start", "length"),
    "Left": _function("left", "expression"),
    "Right": _function("right", "expression"),
    "Replace": _function("replace", "expression", "replacement"),
    "Concat": ("concat", {"expressions": "values"}),
    "Contains": _function("contains", "expression"),
    "StartsWith": _function("starts_with", "expression"),
    "EndsWith": _function("ends_with", "expression"),
    "RegexpLike": _function("regexp_matches", "expression", flag="text"),
    "RegexpReplace": _function("regexp_replace", "expression", "replacement", modifiers="text"),
}
FUNCTIONS = tuple(sorted(name for name, _ in _FUNCTIONS.values()))
"""The functions that a `where:` may call."""

_NODES: dict[str, Parts] = _OPERATORS | {kind: parts for kind, (_, parts) in _FUNCTIONS.items()}

_TYPES = {
    **{name: name for name in ("BOOLEAN", "TINYINT", "SMALLINT", "BIGINT", "UTINYINT", "USMALLINT", "UBIGINT")},
    **{"INT": "INTEGER", "UINT": "UINTEGER", "INT128": "HUGEINT", "UINT128": "UHUGEINT"},
    **{"FLOAT": "FLOAT", "DOUBLE": "DOUBLE", "DECIMAL": "DECIMAL", "TEXT": "VARCHAR", "VARCHAR": "VARCHAR"},
    **{"DATE": "DATE", "TIME": "TIME", "TIMESTAMP": "TIMESTAMP", "TIMESTAMPNTZ": "TIMESTAMP"},
}
"""sqlglot's name of a type -> DuckDB's. A type with a time zone is missing: its values depend on the machine."""
TYPES = tuple(dict.fromkeys(_TYPES.values()))
"""The types that a `where:` may cast to."""

_TRUTHS = {
    *_COMPARE, "Not", "Between", "In", "Escape", "Boolean", "Column", "Case", "If", "Cast", "TryCast", "Coalesce",
    "Contains", "StartsWith", "EndsWith", "RegexpLike",
}  # fmt: skip
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?")
_SIDES = ("LEADING", "TRAILING", "BOTH")


class ExpressionError(ValueError):
    """What is wrong with an expression, for the reader of the recipe."""


def check_tree(tree: Any) -> None:
    """Raise ExpressionError where the tree holds anything that is not listed here, or is not true or false."""
    waiting = [tree]
    while waiting:
        waiting.extend(_checked(waiting.pop()))
    while kind(tree) == "Paren":
        tree = tree.this
    if kind(tree) not in _TRUTHS:
        raise ExpressionError("the expression must be true or false: compare something, as in length(response) > 9")


def kind(node: Any) -> str:
    """The kind of a node: the name of sqlglot's class."""
    return type(node).__name__


def _checked(node: Any) -> Iterator[Any]:
    """Check one node by itself; yield the values in it."""
    match kind(node):
        case "Column":
            _check_column(node)
        case "Literal":
            _check_literal(node)
        case "Boolean" | "Null":
            _check_parts(node, {"this"})
        case name if name in _NODES:
            yield from _values_of(node, _NODES[name])
        case _:
            raise _refused(node)


def _values_of(node: Any, parts: Parts) -> Iterator[Any]:
    _check_parts(node, set(parts))
    for part, holds in parts.items():
        value = node.args.get(part)
        if not value:
            continue
        if holds == "type":
            _check_type(value)
        elif holds == "side":
            _require(value in _SIDES, node)
        elif holds == "text":
            _require(kind(value) == "Literal" and value.is_string, node)
        elif holds == "branches":
            _require(isinstance(value, list) and all(kind(branch) == "If" for branch in value), node)
            yield from value
        else:
            _require(isinstance(value, list) == (holds == "values"), node)
            yield from value if holds == "values" else [value]
    _check_kind(node)


def _check_kind(node: Any) -> None:
    """What one kind asks for beyond its parts."""
    name = kind(node)
    if name == "In" and not node.expressions:
        raise ExpressionError("write the values of IN in brackets, as in score in (1, 2)")
    if name == "Escape":
        _require(kind(node.this) in ("Like", "ILike"), node)
    if name in ("RegexpLike", "RegexpReplace"):
        pattern = node.expression
        if kind(pattern) == "Literal" and pattern.is_string and (problem := pattern_problem(pattern.name)):
            raise ExpressionError(problem)


def _check_parts(node: Any, allowed: set[str]) -> None:
    """A part that is not listed must be empty or a flag: true and false carry no text into the query."""
    for part, value in node.args.items():
        if part not in allowed and value and value is not True:
            known = kind(value) in _NODES or kind(value) in ("Column", "Literal", "str", "list")
            raise _not_allowed(node) if known else _refused(value)


def _check_column(node: Any) -> None:
    if len(node.parts) > 1 and (len(node.parts) > 2 or node.parts[0].name not in ("source", *_OWN)):
        hint = "write a column's name, or source.<name>"
        raise ExpressionError(f"'{plain(node.sql())}': {hint}")
    prefix = node.parts[0].name if len(node.parts) > 1 else ""
    if prefix in _OWN and node.name not in _OWN[prefix]:
        values = f", {prefix}.".join(_OWN[prefix])
        raise ExpressionError(f"'{plain(node.sql())}': the values of a {prefix} are {prefix}.{values}")
    _check_parts(node, {"this", "table"})
    for part in node.parts:
        if kind(part) != "Identifier":
            raise _refused(part)
        _check_parts(part, {"this"})
        _require(isinstance(part.this, str) and bool(part.this), node)


def _check_literal(node: Any) -> None:
    _check_parts(node, {"this", "is_string"})
    _require(isinstance(node.this, str), node)
    if not node.is_string and not _NUMBER.fullmatch(node.this):
        raise ExpressionError(f"'{plain(node.this)}' is no number")


def _check_type(node: Any) -> None:
    name = _TYPES.get(getattr(getattr(node, "this", None), "name", ""), "")
    sizes = node.args.get("expressions") or []
    others = {part for part, value in node.args.items() if value} - {"this", "expressions"}
    if kind(node) != "DataType" or not name or others or (sizes and name != "DECIMAL") or len(sizes) > 2:
        raise ExpressionError(f"'{plain(node.sql(dialect='duckdb'))}' is no type to cast to here; {_types()}")
    for size in sizes:
        number = size.this
        _require(kind(size) == "DataTypeParam" and not size.args.get("expression"), node)
        _require(kind(number) == "Literal" and not number.is_string and str(number.this).isdecimal(), node)


def _types() -> str:
    return f"types are: {', '.join(TYPES)}"


def _require(condition: bool, node: Any) -> None:
    if not condition:
        raise _not_allowed(node)


def _not_allowed(node: Any) -> ExpressionError:
    return ExpressionError(f"'{plain(node.sql(dialect='duckdb'))}' is not allowed here; {_listed()}")


def _refused(node: Any) -> ExpressionError:
    name = node.name if kind(node) == "Anonymous" else kind(node).lower()
    return ExpressionError(f"'{plain(name)}' is not allowed here; {_listed()}")


def _listed() -> str:
    return f"columns, literals, operators and these functions are: {', '.join(FUNCTIONS)}"


def plain(text: str) -> str:
    """The start of a text, without characters that cannot be printed."""
    return "".join(character for character in text if character.isprintable())[:120]
