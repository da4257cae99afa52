"""Signals that ask a job to stop, the lock on its folder, and the file that says why it failed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from alpaqual.job import JobError
from alpaqual.job_folder import FAILURE, LOCK
from alpaqual.trainers.fsdp_job.ranks import Ranks

STOPPED = 75
"""Exit code of a job that stopped on a signal and can resume (EX_TEMPFAIL)."""
_LOCK_SECONDS = 20.0
"""How long a job waits for the lock: the ranks of a job that was just killed may take some seconds to end."""
_POLL_SECONDS = 0.1


class StopSignal:
    """Records SIGTERM, SIGINT and SIGHUP, which torchrun forwards, and a scheduler's SIGUSR1."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        self.received = True


@contextlib.contextmanager
def lock_folder(folder: Path, ranks: Ranks, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Hold the folder's lock; the operating system releases it however the process ends.

    Raises JobError where another job still holds it after `seconds`.
    """
    with contextlib.ExitStack() as stack:
        acquired = True
        if ranks.is_first:
            acquired = _acquire(stack.enter_context((folder / LOCK).open("w")), folder, seconds)
            if acquired:
                (folder / FAILURE).unlink(missing_ok=True)
        if not ranks.broadcast_from_rank0(acquired):
            raise JobError(f"another process is training in {folder}: wait until it has ended")
        yield


def _acquire(file: TextIO, folder: Path, seconds: float) -> bool:
    """Lock a file, and wait for another process that has it locked. Returns False where it still has after `seconds`."""
    ends, waiting = time.monotonic() + seconds, False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                return False
        except OSError:
            # The file system has no locks: train without one.
            return True
        else:
            return True
        if not waiting:
            print(f"another process is training in {folder}: waiting up to {seconds:g} s for its end", flush=True)
            waiting = True
        time.sleep(_POLL_SECONDS)


def report_failure(folder: Path, code: int, message: str, rank: int = 0) -> int:
    """Write why the job ended to failure.json and stderr, on the first rank that fails. Returns `code`."""
    with contextlib.suppress(OSError), (folder / FAILURE).open("x", encoding="utf-8") as file:
        file.write(json.dumps({"exit_code": code, "message": message, "rank": rank}) + "\n")
        print(message if code == STOPPED else f"error: {message}", file=sys.stderr, flush=True)
    return code
