"""State files of batches: written before a batch is submitted, deleted after its last reply is in the ledger.

{"label": "alpaqual.…", "model": "openai/gpt-4o-mini", "keys": ["…"], "promised": 1.5, "time": 1760000000, "batch": "batch_…"}
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from alpaqual.contracts import BatchState
from alpaqual.disk import flush
from alpaqual.errors import StageError
from alpaqual.values import Request


@dataclass(eq=False)
class Batch:
    """A batch that is being submitted (`id` is None) or was, and the requests in it that this process has seen.

    `reserved` is in US dollars, `time` a Unix time. `reservations` has what is still reserved: by key, or in one sum ("") for a
    batch of an earlier process.
    """

    label: str
    model: str
    keys: list[str]
    reserved: float
    time: float
    id: str | None = None
    requests: dict[str, Request] = field(default_factory=dict)
    reservations: dict[str, float] = field(default_factory=dict)
    state: BatchState | None = None


def read_batches(folder: Path, model: str) -> list[Batch]:
    """The batches of a model that may be running, the oldest first.

    Raises StageError where a state file cannot be read.
    """
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            batch = Batch(*(fields[name] for name in ("label", "model", "keys", "promised", "time", "batch")))
        except (OSError, ValueError, TypeError, KeyError):
            raise StageError(
                f"{file} cannot be read; it names a running batch, and without it replies are paid for twice"
            ) from None
        if batch.model == model:
            found.append(batch)
    return sorted(found, key=lambda batch: batch.time)


def write_batch(folder: Path, batch: Batch) -> None:
    """Write a batch's state file atomically.

    Raises StageError where that fails.
    """
    content = json.dumps(
        {
            "label": batch.label,
            "model": batch.model,
            "keys": batch.keys,
            "promised": batch.reserved,
            "time": batch.time,
            "batch": batch.id,
        }
    )
    file, new = _file(folder, batch), folder / f".{batch.label}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
        flush(folder)
    except OSError as error:
        raise StageError(f"{file} cannot be written: {error.strerror}; no batch is submitted without it") from None


def delete_batch(folder: Path, batch: Batch) -> None:
    """Delete a batch's state file, if it is there."""
    _file(folder, batch).unlink(missing_ok=True)


def _file(folder: Path, batch: Batch) -> Path:
    return folder / f"{batch.label}.json"
