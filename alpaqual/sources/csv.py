"""CSV with a header line."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from typing import Any

from alpaqual.sources._reading import MOST_BYTES, open_bytes


class Plugin:
    VERSION = 1
    SUFFIXES = (".csv",)
    CELLS = "text"

    def rows(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        csv.field_size_limit(min(sys.maxsize, 2 * MOST_BYTES))
        with open_bytes(file) as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
            yield from _records(_Lines(text))


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


def _records(lines: _Lines) -> Iterator[tuple[dict[str, Any] | None, str]]:
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    while True:
        lines.held.clear()
        line = lines.number + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if header is None:
                raise ValueError(f"broken CSV in the header: {error}") from None
            # Rows after a quote that is never closed cannot be separated: each of their lines counts as one.
            for number in lines.held:
                within = "" if number == lines.held[0] else f", in what line {lines.held[0]} starts"
                yield None, f"line {number}: broken CSV ({error}{within})"
            continue
        if header is None:
            header = _named(values)
        elif values:
            yield _row(header, values, line)


def _named(header: list[str]) -> list[str]:
    """The names that DuckDB gives the columns: without spaces around them, by position where there is none, each once."""
    names: list[str] = []
    for index, given in enumerate(header):
        wanted = unique = given.strip() or f"column{index}"
        again = 0
        while unique.lower() in (name.lower() for name in names):
            again += 1
            unique = f"{wanted}_{again}"
        names.append(unique)
    return names


_NOT_UTF_8 = re.compile("[\udc80-\udcff]")
_SPACED_QUOTES = re.compile(r' +"([^"]*)"')


def _row(header: list[str], values: list[str], line: int) -> tuple[dict[str, Any] | None, str]:
    if len(values) != len(header):
        return None, f"line {line}: {len(values)} values where the header has {len(header)} columns"
    if sum(len(value) for value in values) > MOST_BYTES:
        return None, f"line {line}: more than {MOST_BYTES // 2**20} MiB"
    if any(_NOT_UTF_8.search(value) for value in values):
        return None, f"line {line}: not UTF-8"
    return {key: _value(value) for key, value in zip(header, values, strict=True)}, ""


def _value(text: str) -> str | None:
    """As DuckDB reads it: nothing between two commas is null, and spaces before quotes do not count."""
    spaced = _SPACED_QUOTES.fullmatch(text) if text[:1] == " " else None
    return (spaced[1] if spaced else text) or None
