"""The options of a source: how its files are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadOptions:
    """How a file is to be read, as the recipe says. Nothing of it is guessed from the file."""

    delimiter: str | None = None
    """Between two values of CSV; by default what the format is named after."""
    quote: str = '"'
    """Around a value of CSV; empty where quotes are plain characters."""
    encoding: str = "utf-8"
    header: bool = True
    """Whether the first line of CSV has the names of the columns; else they are column0, column1, …"""
    null: tuple[str, ...] = ("",)
    """Texts of CSV that mean null."""
    max_row_bytes: int = 16 * 2**20
    """A row of more bytes is put in quarantine."""
    split: str | None = None
    """The split to read of a folder that the datasets library saved."""


PLAIN = ReadOptions()
"""The options of a source that names none."""
