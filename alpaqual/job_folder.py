"""What the folder of a training job holds, by name, and how it is read: by the job itself and by who started it."""

from __future__ import annotations

import contextlib
import fcntl
import json
from pathlib import Path
from typing import Any

JOB = "job.json"
LOG = "log.txt"
"""What the program said."""
METRICS = "metrics.jsonl"
"""A line a step; one of step 0 where held-out rows were measured before."""
FAILURE = "failure.json"
"""Why a job ended: `exit_code`, `message` and the `rank` that told."""
LOCK = ".lock"
"""Held by a job for as long as it lives."""
MODEL = "model"
"""The folder of the trained model; it is there once the model is whole."""
MANIFEST = "alpaqual-manifest.json"
"""Beside the model, where it comes from."""
_CURVE = 200


def is_locked(folder: Path) -> bool:
    """Whether a job is at work in the folder."""
    with contextlib.suppress(FileNotFoundError, PermissionError), (folder / LOCK).open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def manifest_in(folder: Path, key: str) -> dict[str, Any] | None:
    """The manifest of a finished model in the folder; None where there is none of the job of this key."""
    manifest = read_json(folder / MODEL / MANIFEST)
    return manifest if manifest is not None and manifest.get("key") == key else None


def key_in(folder: Path) -> str | None:
    """The key of the job that was written into the folder."""
    job = read_json(folder / JOB)
    return None if job is None else str(job.get("key"))


def read_json(path: Path) -> dict[str, Any] | None:
    """The mapping in a file; None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def metrics_in(folder: Path) -> list[dict[str, Any]]:
    """The lines so far; one that is being written, or that a kill has torn, is left out."""
    found: list[dict[str, Any]] = []
    path = folder / METRICS
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def steps_in(folder: Path) -> list[dict[str, Any]]:
    """The lines of steps so far."""
    return [line for line in metrics_in(folder) if line["step"]]


def curve_in(folder: Path) -> list[dict[str, Any]]:
    """What a report draws of the steps: at most 200 of them, the first and the last among them."""
    steps = steps_in(folder)
    every = max(1, -(-len(steps) // _CURVE))
    chosen = [line for line in steps if line["step"] % every == 0 or line is steps[-1] or line is steps[0]][-_CURVE:]
    return [{word: line[word] for word in ("step", "loss", "learning_rate", "gradient_norm")} for line in chosen]


def log_in(folder: Path, lines: int) -> list[str]:
    """The last lines of the log; none where there is no log."""
    with contextlib.suppress(OSError):
        return (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return []
