"""Folders that the processes of a suite share."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(temporary: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of that name, which `make` fills once for all processes of pytest-xdist."""
    root = temporary.getbasetemp()
    root = root.parent if root.name.startswith("popen-") else root
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            make(unfinished := root / f"{name}-unfinished")
            unfinished.rename(folder)
    return folder
