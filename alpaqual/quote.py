"""Pieces of SQL: the one place where names and values are quoted.

Values are literals in the text, so that `plan.sql` can be pasted and run; nothing else of a row or recipe gets into SQL.
"""

from __future__ import annotations

from collections.abc import Sequence


def name(identifier: str) -> str:
    """A quoted identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: str | int | float | bool | None) -> str:
    """A value as a SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"CAST({value!r} AS DOUBLE)"
    if "\x00" in value:
        return " || CHR(0) || ".join(literal(part) for part in value.split("\x00"))
    return "'" + value.replace("'", "''") + "'"


def number(value: float) -> str:
    """A number that is compared with scores; scores are DOUBLE, and so is it."""
    return literal(float(value))


def texts(values: Sequence[str]) -> str:
    """A list of text literals in brackets, for IN."""
    return "(" + ", ".join(literal(value) for value in values) + ")"
