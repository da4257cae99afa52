"""The columns of `rows` that hold a source's own columns."""

from __future__ import annotations

from alpaqual.quote import name
from alpaqual.values import RESERVED_COLUMNS


def column(source_column: str) -> str:
    """The quoted column of `rows` that holds one of a source's own columns."""
    return name(stored_column(source_column))


def stored_column(source_column: str) -> str:
    """The name under which `rows` holds one of a source's own columns.

    A column of a reserved name is `source.<name>`; so may any other be called in a recipe, which is then the plain name.
    """
    plain = source_column.removeprefix("source.")
    return f"source.{plain}" if plain in RESERVED_COLUMNS else plain
