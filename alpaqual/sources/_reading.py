"""Bytes and lines of files that may be compressed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

MOST_BYTES = 16 * 1024 * 1024
"""A row of more bytes is put in quarantine."""


def open_bytes(file: str) -> IO[bytes]:
    """The file's bytes, unpacked."""
    path = Path(file)
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".zst":
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)
    return path.open("rb")


def lines(file: str) -> Iterator[tuple[int, bytes | None]]:
    """Each line that is not blank, with its number from 1; None for one of more than MOST_BYTES."""
    import io

    with open_bytes(file) as stream:
        buffered = io.BufferedReader(stream)  # type: ignore[type-var]
        number = 0
        while line := buffered.readline(MOST_BYTES + 1):
            number += 1
            if len(line) > MOST_BYTES:
                while line and not line.endswith(b"\n"):
                    line = buffered.readline(MOST_BYTES)
                yield number, None
            elif line.strip():
                yield number, line


def json_row(text: bytes, place: str) -> tuple[dict[str, Any] | None, str]:
    """One row out of one JSON text: (its values, "") or (None, why not)."""
    try:
        value = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return None, f"{place}: not UTF-8 (byte {error.start + 1})"
    except json.JSONDecodeError as error:
        return None, f"{place}: broken JSON ({error.msg}, column {error.colno})"
    except RecursionError:
        return None, f"{place}: JSON nested too deeply"
    if not isinstance(value, dict):
        return None, f"{place}: {kind_of(value)} where a row (an object) should be"
    return value, ""


def kind_of(value: Any) -> str:
    """A JSON value's kind, for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number",
    }
    return names[type(value)]
