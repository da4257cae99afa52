"""One file a format that rows are read from."""

from __future__ import annotations

from alpaqual.compression import plain_name
from alpaqual.contracts import Source
from alpaqual.read_options import PLAIN, ReadOptions
from alpaqual.registry import find, names
from alpaqual.sources._saved import is_saved, saved_files

__all__ = ["endings", "format_of", "formats", "is_saved", "open_source", "options_of", "saved_files"]


def open_source(kind: str, options: ReadOptions = PLAIN) -> Source:
    """The reader of a format; one that takes options is made with them.

    Raises MachineError where no reader of this format is installed.
    """
    plugin = find("sources", kind)
    reader: Source = plugin(options) if options_of(kind) else plugin()
    return reader


def options_of(kind: str) -> tuple[str, ...]:
    """Names of the options that the reader of a format takes."""
    return tuple(getattr(find("sources", kind), "OPTIONS", ()))


def format_of(path: str) -> str | None:
    """The source format whose ending a file's name has, under the ending of a compression."""
    stem = plain_name(path).lower()
    return next((kind for kind in names("sources") if stem.endswith(find("sources", kind).SUFFIXES)), None)


def formats() -> str:
    """The formats that can be read, for a message: "csv, json or parquet"."""
    *first, last = names("sources")
    return f"{', '.join(first)} or {last}"


def endings() -> str:
    """The endings of files that can be read, for a message."""
    *first, last = (ending for kind in names("sources") for ending in find("sources", kind).SUFFIXES)
    return f"{', '.join(first)} or {last}"
