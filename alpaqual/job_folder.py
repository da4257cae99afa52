"""The files in the folder of a training job, and how the job and its starter read them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from pathlib import Path
from typing import Any

JOB = "job.json"
LOG = "log.txt"
"""Output of the program."""
METRICS = "metrics.jsonl"
"""A line a step; step 0 has the held-out loss before training."""
RUN_TIME = "run_time.json"
"""Seconds of all attempts so far, which the cost is computed from."""
FAILURE = "failure.json"
"""Why a job ended: `exit_code`, `message` and the `rank` that wrote it."""
LOCK = ".lock"
"""Locked by a job while it runs."""
MODEL = "model"
"""The folder of the trained model; it exists once the model is complete."""
MANIFEST = "alpaqual-manifest.json"
"""Beside the model: what it was trained from."""
_CURVE_POINTS = 200
_SEARCHED = 60
"""Lines at the end of the log that are of the last attempt: torchrun writes about 35 behind an error."""
_MOST_CHARACTERS = 300


def is_locked(folder: Path) -> bool:
    """Whether a job is running in the folder."""
    with contextlib.suppress(FileNotFoundError, PermissionError), (folder / LOCK).open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def manifest_in(folder: Path, key: str) -> dict[str, Any] | None:
    """The manifest of a finished model in the folder; None where the model is missing or has another key."""
    manifest = read_json(folder / MODEL / MANIFEST)
    return manifest if manifest is not None and manifest.get("key") == key else None


def key_in(folder: Path) -> str | None:
    """The key of the job in the folder; None without a job."""
    job = read_json(folder / JOB)
    return None if job is None else str(job.get("key"))


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where the file is missing or holds something else."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def metrics_in(folder: Path) -> list[dict[str, Any]]:
    """The lines so far, without one that is incomplete."""
    found: list[dict[str, Any]] = []
    path = folder / METRICS
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def steps_in(folder: Path) -> list[dict[str, Any]]:
    """The lines of steps so far, without step 0."""
    return [line for line in metrics_in(folder) if line["step"]]


def curve_in(folder: Path) -> list[dict[str, Any]]:
    """At most 200 steps for a report's chart, with the first and the last."""
    steps = steps_in(folder)
    every = max(1, -(-len(steps) // _CURVE_POINTS))
    chosen = [line for line in steps if line["step"] % every == 0 or line is steps[-1] or line is steps[0]][
        -_CURVE_POINTS:
    ]
    return [{word: line[word] for word in ("step", "loss", "learning_rate", "gradient_norm")} for line in chosen]


def log_in(folder: Path, lines: int) -> list[str]:
    """The last lines of the log; an empty list without a log."""
    with contextlib.suppress(OSError):
        return (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return []


_RAISED = re.compile(r"\[rank\d+\]: ((?:\w+\.)*\w*(?:Error|Exception)\b.*)")
"""The last line of a traceback, as torchrun prints it behind the number of its process."""


def error_in(folder: Path) -> str:
    """The error that ended a process of the job last; empty where the log has none. torchrun's own summary follows it there."""
    found = [match for line in log_in(folder, _SEARCHED) if (match := _RAISED.match(line))]
    return found[-1].group(1)[:_MOST_CHARACTERS] if found else ""
