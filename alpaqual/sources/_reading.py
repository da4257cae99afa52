"""Lines and rows of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from alpaqual.compression import open_bytes
from alpaqual.conversation.json_values import kind_of


def lines(file: str, most: int) -> Iterator[tuple[int, bytes | None]]:
    """Each line that is not blank, with its number from 1; None for one of more than `most` bytes."""
    with open_bytes(file) as stream:
        number = 0
        while line := stream.readline(most + 1):
            number += 1
            if len(line) > most:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(most)
                yield number, None
            elif line.strip():
                yield number, line


def size_of(most: int) -> str:
    """A limit of bytes, for a message."""
    return f"{most // 2**20} MiB" if most % 2**20 == 0 else f"{most} bytes"


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
    except ValueError as error:  # a whole number of more digits than Python reads
        return None, f"{place}: {error}"
    if not isinstance(value, dict):
        return None, f"{place}: {kind_of(value)} where a row (an object) should be"
    return value, ""
