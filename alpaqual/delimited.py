"""CSV and TSV: names of columns from a header, and the kind of a column from the texts of its cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from alpaqual.compression import damage, open_bytes
from alpaqual.read_options import ReadOptions

_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 20

INTEGER = r"[+-]?(0|[1-9][0-9]{0,37})"
"""Texts that are whole numbers. `007` is none: its digits are a text."""
NUMBER = r"[+-]?((0|[1-9][0-9]*)([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?|[+-]?([nN][aA][nN]|[iI][nN][fF]([iI][nN][iI][tT][yY])?)"
"""Texts that are numbers."""
TRUTH = r"[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]"
_KINDS = (("INTEGER", INTEGER), ("DOUBLE", NUMBER), ("BOOLEAN", TRUTH))
_LONG = 10**18
_DELIMITERS = {";": "';'", "\t": '"\\t"', "|": "'|'", ",": "','"}


def column_names(header: Sequence[str]) -> list[str]:
    """Names of columns: without spaces around them, by position where the header has none, each once."""
    names: list[str] = []
    for index, given in enumerate(header):
        wanted = unique = given.strip() or f"column{index}"
        again = 0
        while unique in names:
            again += 1
            unique = f"{wanted}_{again}"
        names.append(unique)
    return names


def delimiter_advice(columns: Iterable[str]) -> str:
    """Which delimiter to write, for a file whose only column has the names of several; "" for others."""
    names = list(columns)
    if len(names) != 1:
        return ""
    found = next((shown for character, shown in _DELIMITERS.items() if character in names[0]), None)
    return f"has one column, '{names[0]}': write delimiter: {found}" if found else ""


def kind_of_text(text: str) -> str:
    """SQL type of the value that a text writes."""
    kind = next((kind for kind, pattern in _KINDS if re.fullmatch(pattern, text)), "VARCHAR")
    if kind == "INTEGER":
        return "BIGINT" if abs(int(text)) < _LONG else "HUGEINT" if abs(int(text)) < 10**38 else "VARCHAR"
    return kind


_NUMERIC = ("BIGINT", "HUGEINT", "DOUBLE")


def common_kind(kinds: Iterable[str]) -> str:
    """The type that holds values of all these types: VARCHAR where they are of several kinds, or there are none."""
    found = set(kinds)
    if len(found) == 1:
        return found.pop()
    if found and found <= set(_NUMERIC):
        return max(found, key=_NUMERIC.index)
    return "VARCHAR"


class Head(NamedTuple):
    """The header line of a CSV file, and what follows it."""

    line: bytes
    columns: tuple[str, ...]
    empty: bool
    """Whether nothing but blank lines follows, as far as the first MiB shows."""


def read_head(file: str, options: ReadOptions) -> Head | None:
    """The header of a file in UTF-8; None where it is not one plain line, so that only a CSV reader can tell."""
    damaged: tuple[type[Exception], ...] = (*damage(), ValueError)
    try:
        with open_bytes(file) as stream:
            line = stream.readline(_LONGEST_HEADER)
            rest = stream.read(_CHUNK)
    except damaged:
        return None
    text = line.removeprefix(_BOM)
    if not text.strip() or b"\r" in text.rstrip(b"\n").removesuffix(b"\r"):
        return None
    try:
        records = list(csv.reader([text.decode("utf-8")], **dialect(options)))
    except (csv.Error, UnicodeDecodeError):
        return None
    if len(records) != 1 or not line.endswith(b"\n"):
        return None
    return Head(line, tuple(column_names(records[0])), not rest.strip())


def dialect(options: ReadOptions) -> dict[str, Any]:
    """Arguments of `csv.reader` for these options."""
    quoting = {"quotechar": options.quote} if options.quote else {"quoting": csv.QUOTE_NONE}
    return {"delimiter": options.delimiter or ",", "strict": True, **quoting}


def count_bytes(file: str, quote: str) -> tuple[int, int, bool]:
    """Bytes of a decompressed file, quotes among them, and whether it ends with a line end."""
    total = quotes = 0
    last = b""
    with open_bytes(file) as stream:
        while chunk := stream.read(_CHUNK):
            total += len(chunk)
            quotes += chunk.count(quote.encode()) if quote else 0
            last = chunk[-1:]
    return total, quotes, last == b"\n"
