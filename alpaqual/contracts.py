"""One Protocol a kind of plug-in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

from alpaqual.values import Reply, Request


class Source(Protocol):
    """Reads one file format: `alpaqual/sources/<format>.py` with a class `Plugin`."""

    VERSION: int
    """Part of every fingerprint: raised when the same file gives other rows."""
    SUFFIXES: tuple[str, ...]
    """Endings of file names, without .gz and .zst."""
    CELLS: Literal["json", "text", "typed"]
    """What a cell of `scan` is: JSON, a text, or of the type that the file gives its column."""

    def look(self, files: Sequence[str]) -> str:
        """A relation (SQL) with the files' columns, to be described."""
        ...

    def scan(self, files: Sequence[str], columns: Sequence[str], file_rows: Sequence[int]) -> str:
        """A query (SQL) that gives `position` (from 1, over all files) and `columns`, and fails where a file is broken.

        `file_rows` has the rows of each file for typed formats.
        """
        ...

    def rescue(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        """Every row of a file, read with care: (its values, "") or (None, why it cannot be read and where).

        Raises ValueError, with the place, where the file as a whole cannot be read.
        """
        ...


class Replies(Protocol):
    """A ledger of replies by key."""

    def get(self, key: str) -> Reply | None: ...

    def models(self) -> Sequence[str]: ...


class Model(Protocol):
    """Answers one request; None where it has no answer to give, as a recording may."""

    async def complete(self, request: Request) -> Reply | None: ...
