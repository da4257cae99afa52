"""What the folder of a training job holds: its key, its manifest, its steps, and whether somebody works in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
from pathlib import Path
from typing import Any

MANIFEST = "alpaqual-manifest.json"
_CURVE = 200


def is_locked(folder: Path) -> bool:
    """Whether a job is at work in the folder, whose lock it holds for as long as it lives."""
    with contextlib.suppress(FileNotFoundError, PermissionError), (folder / ".lock").open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def manifest_in(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished model that belongs to the job in this folder."""
    manifest = read_json(folder / "model" / MANIFEST)
    return manifest if manifest is not None and manifest.get("key") == key_in(folder) else None


def key_in(folder: Path) -> str | None:
    """The key of the job that was written into the folder."""
    job = read_json(folder / "job.json")
    return None if job is None else str(job.get("key"))


def read_json(path: Path) -> dict[str, Any] | None:
    """The mapping in a file; None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def steps_in(path: Path) -> list[dict[str, Any]]:
    """The steps so far; a line that is being written is left out."""
    found: list[dict[str, Any]] = []
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [line for line in found if line["step"]]


def curve_in(path: Path) -> list[dict[str, Any]]:
    """What a report draws of the steps: at most 200 of them, the first and the last among them."""
    steps = steps_in(path)
    every = max(1, -(-len(steps) // _CURVE))
    chosen = [line for line in steps if line["step"] % every == 0 or line is steps[-1] or line is steps[0]][-_CURVE:]
    return [{word: line[word] for word in ("step", "loss", "learning_rate", "gradient_norm")} for line in chosen]


def last_lines(path: Path, lines: int) -> list[str]:
    """The end of a text."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return []
