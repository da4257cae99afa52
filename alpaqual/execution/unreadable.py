"""Finds the text of rows that could not be read, for the table of quarantine."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping

from alpaqual.compression import open_bytes
from alpaqual.values import Scan

_SHOWN = 200
"""Characters of a text that quarantine keeps."""
_PIECE = 1 << 16
"""Longest piece of a line that is read at once: a line may be as large as its file."""
_LINE = "line "


def texts_of(scan: Scan, index: int, places: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Position and text of rows of one file of a scan, whose `places` are (position, "line 7"); other places have no text."""
    wanted = {int(place.removeprefix(_LINE)): position for position, place in places if place.startswith(_LINE)}
    if wanted:
        yield from _lines(scan, index, wanted)


def _lines(scan: Scan, index: int, wanted: Mapping[int, int]) -> Iterator[tuple[int, str]]:
    csv = scan.cells == "text"
    encoding = scan.options.encoding if csv else "utf-8"
    # Python's csv module takes a lone carriage return for the end of a line, JSON Lines do not.
    with open_bytes(scan.files[index].path) as stream:
        text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="" if csv else "\n")
        number, starts, last = 1, True, max(wanted)
        while number <= last and (piece := text.readline(_PIECE)):
            if starts and number in wanted:
                yield wanted[number], piece.rstrip("\r\n")[:_SHOWN]
            starts = piece.endswith(("\n", "\r") if csv else "\n")
            number += starts
