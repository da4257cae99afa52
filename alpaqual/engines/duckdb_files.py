"""Calls of the DuckDB functions that read files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alpaqual.quote import literal, name


def one_file(file: str) -> str:
    """The path as DuckDB takes it for this file alone: signs of a glob in its name mean themselves."""
    return file if file.startswith("hf://") else re.sub(r"([\[*?])", r"[\1]", file)


def relation(function: str, files: Sequence[str], **options: str) -> str:
    """A call of one of DuckDB's reading functions."""
    listed = ", ".join(literal(one_file(file)) for file in files)
    given = "".join(f", {key} = {value}" for key, value in options.items())
    return f"{function}([{listed}]{given})"


def cells(columns: Sequence[str], kind: str) -> str:
    """The `columns` option of DuckDB's reading functions: every column of one type."""
    return "{" + ", ".join(f"{literal(column)}: '{kind}'" for column in columns) + "}"


def select_numbered(columns: Sequence[str], source: str) -> str:
    """A query that numbers the rows of a relation in their order."""
    named = "".join(f", {name(column)}" for column in columns)
    return f"SELECT ROW_NUMBER() OVER () AS position{named} FROM {source}"
