"""How a job ends before its time, and how two never work in one folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alpaqual.job import JobError
from alpaqual.job_folder import FAILURE, LOCK
from alpaqual.trainers.fsdp_job.ranks import Ranks

STOPPED = 75
"""Exit code of a job that was asked to stop and can go on (EX_TEMPFAIL)."""


class Stop:
    """Whether somebody asked for an end: SIGTERM, SIGINT or SIGHUP, which torchrun passes on, or SIGUSR1 of a scheduler."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True


@contextlib.contextmanager
def only_job(folder: Path, ranks: Ranks) -> Iterator[None]:
    """While this lasts no other job works in the folder; the system drops the lock however a process ends.

    Raises JobError where another one does.
    """
    with contextlib.ExitStack() as stack:
        free = True
        if ranks.first:
            file = stack.enter_context((folder / LOCK).open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free = False
            except OSError:
                # A file system without locks: nobody is kept out.
                pass
            if free:
                (folder / FAILURE).unlink(missing_ok=True)
        if not ranks.told(free):
            raise JobError(f"another process is training in {folder}: let it end first")
        yield


def failed(folder: Path, code: int, message: str, rank: int = 0) -> int:
    """Tell why a job ended, once: by whichever process comes first; the exit code."""
    with contextlib.suppress(OSError), (folder / FAILURE).open("x", encoding="utf-8") as file:
        file.write(json.dumps({"exit_code": code, "message": message, "rank": rank}) + "\n")
        print(message if code == STOPPED else f"error: {message}", file=sys.stderr, flush=True)
    return code
