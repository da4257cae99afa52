"""The rows of a dataset file, and which of them are trained on. The exports and alpaqual's own job share this rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

TRAINING_ROWS = "training_rows.jsonl"
"""In the folder of an export: the rows of the dataset that are trained on."""


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a JSON Lines file: id, instruction, input, output."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def is_trained_on(row: dict[str, str], held_out_ids: frozenset[str]) -> bool:
    """Whether a row is trained on: its id is not that of a held-out row."""
    return row["id"] not in held_out_ids


def ids_of(rows: Iterable[dict[str, str]]) -> frozenset[str]:
    """The ids of rows."""
    return frozenset(row["id"] for row in rows)


def write_training_rows(data: Path, held_out: Path, target: Path) -> tuple[int, str]:
    """Copy the rows of `data` that are trained on to `target`, byte for byte. Returns their number and sha256."""
    held_out_ids = ids_of(read_rows(held_out))
    rows, digest = 0, hashlib.sha256()
    with data.open("rb") as lines, target.open("wb") as copy:
        for line in lines:
            if is_trained_on(json.loads(line), held_out_ids):
                copy.write(line)
                digest.update(line)
                rows += 1
    return rows, digest.hexdigest()
