"""CSV, with a header line unless the recipe says otherwise."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Literal

from alpaqual.compression import open_bytes
from alpaqual.delimited import column_names, dialect
from alpaqual.read_options import PLAIN, ReadOptions
from alpaqual.sources._reading import size_of


class Plugin:
    """Reads with Python's csv module in its strict mode."""

    VERSION = 2
    SUFFIXES: ClassVar[tuple[str, ...]] = (".csv",)
    CELLS: Literal["text"] = "text"
    OPTIONS = ("delimiter", "quote", "encoding", "header", "null", "max_row_bytes")
    DELIMITER = ","

    def __init__(self, options: ReadOptions = PLAIN) -> None:
        self.options = replace(options, delimiter=options.delimiter or self.DELIMITER)

    def rows(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        for _, row, reason in self.placed_rows(file):
            yield row, reason

    def places(self, file: str) -> Iterator[str]:
        """The place of each row that `rows` yields."""
        return (place for place, _, _ in self.placed_rows(file))

    def placed_rows(self, file: str) -> Iterator[tuple[str, dict[str, Any] | None, str]]:
        options = self.options
        csv.field_size_limit(min(sys.maxsize, 2 * options.max_row_bytes))
        encoding = "utf-8-sig" if options.encoding == "utf-8" else options.encoding
        try:
            with open_bytes(file) as stream:
                text = io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="")
                yield from _Records(_Lines(text), options).rows()
        except UnicodeError as error:
            raise ValueError(f"not {options.encoding}: {error}") from None


class _Lines:
    """The lines of a text; `held` has the numbers, from 1, of those with something in them since it was emptied last."""

    def __init__(self, text: Iterator[str]) -> None:
        self.text = text
        self.number = 0
        self.held: list[int] = []

    def __iter__(self) -> Iterator[str]:
        for line in self.text:
            self.number += 1
            if line.strip("\r\n"):
                self.held.append(self.number)
            yield line


_NOT_DECODED = re.compile("[\udc80-\udcff]")


class _Records:
    """The records of a file as rows: (place, values, why there are none)."""

    def __init__(self, lines: _Lines, options: ReadOptions) -> None:
        self.lines = lines
        self.options = options
        self.null = frozenset(options.null)
        self.columns: list[str] | None = None

    def rows(self) -> Iterator[tuple[str, dict[str, Any] | None, str]]:
        lines, options = self.lines, self.options
        reader = csv.reader(lines, **dialect(options))
        while True:
            lines.held.clear()
            line = lines.number + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if self.columns is None:
                    raise ValueError(f"broken CSV in the header: {error}") from None
                # Rows after a quote that is never closed cannot be separated: each of their lines counts as one.
                for number in lines.held:
                    within = "" if number == lines.held[0] else f", in what line {lines.held[0]} starts"
                    yield f"line {number}", None, f"line {number}: broken CSV ({error}{within})"
                continue
            if self.columns is None and values:
                self.columns = column_names(values if options.header else [""] * len(values))
                if options.header:
                    continue
            if values and self.columns is not None:
                yield f"line {line}", *self.row(self.columns, values, line)

    def row(self, columns: list[str], values: list[str], line: int) -> tuple[dict[str, Any] | None, str]:
        if len(values) != len(columns):
            header = "the header" if self.options.header else "the first line"
            return None, f"line {line}: {len(values)} values where {header} has {len(columns)} columns"
        if sum(map(len, values)) > self.options.max_row_bytes:
            return None, f"line {line}: more than {size_of(self.options.max_row_bytes)}"
        if any(not value.isascii() and _NOT_DECODED.search(value) for value in values):
            if self.options.encoding == "utf-8":
                return None, f"line {line}: not UTF-8: write encoding: cp1252, or the one it has"
            return None, f"line {line}: not {self.options.encoding}"
        null = self.null
        return {key: None if value in null else value for key, value in zip(columns, values, strict=True)}, ""
