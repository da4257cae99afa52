"""Jobs whose processes are forked from one that has imported torch already: what torchrun starts, without its imports.

A job's process runs `alpaqual.trainers.fsdp_job` as its main program, with the environment that torchrun gives it.
Importing torch and transformers costs each process several seconds, and torchrun imports torch once more.
"""

from __future__ import annotations

import importlib
import multiprocessing.connection
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiers import NIGHTLY

_PRELOADED = "training.preloaded"
_TESTS = str(Path(__file__).resolve().parents[1])


def _context() -> ForkServerContext:
    """The context of a server that has imported what a job needs; it is started by the first call and ends with pytest."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    # torch reads the number of threads as it is imported. A server of Python 3.11 takes its path from the environment.
    paths = os.pathsep.join([_TESTS, *filter(None, [os.environ.get("PYTHONPATH")])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", paths)
        forkserver.ensure_running()
    return context


class Ranks:
    """The running processes of a job, with what tests and `alpaqual run` call of `subprocess.Popen`."""

    def __init__(self, folder: Path, processes: int) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        (folder / "log.txt").touch()
        context = _context()
        self.ranks = [context.Process(target=_rank, args=(folder, rank, processes, port)) for rank in range(processes)]
        for process in self.ranks:
            process.start()
        self.running = {process.sentinel: process for process in self.ranks}
        self.signalled = False
        self.returncode: int | None = None

    def wait(self, timeout: float) -> int:
        """Wait until all have ended; the exit code of the first that failed, else 0.

        As torchrun does, ends the other processes when one fails. Raises TimeoutExpired after `timeout` seconds.
        """
        ends = time.monotonic() + timeout
        while self.running:
            ended = multiprocessing.connection.wait(list(self.running), max(0.0, ends - time.monotonic()))
            if not ended:
                raise subprocess.TimeoutExpired("the job", timeout)
            for sentinel in ended:
                process = self.running.pop(sentinel)  # type: ignore[call-overload]
                process.join()
                self.returncode = self.returncode or process.exitcode
            # After a signal each process saves a checkpoint and fails.
            if self.returncode and not self.signalled:
                self.kill()
        assert self.returncode is not None
        return self.returncode

    def poll(self) -> int | None:
        """The exit code; None while a process is running."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        self.signalled = True
        for process in self.running.values():
            assert process.pid is not None
            os.kill(process.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill every process that is left, and wait until all have ended."""
        for process in self.ranks:
            process.kill()
            process.join()


def run_ranks(folder: Path, processes: int, seconds: float) -> int:
    """Run the job of a folder to its end, and return its exit code."""
    ranks = Ranks(folder, processes)
    try:
        return ranks.wait(seconds)
    finally:
        ranks.kill()


def start_forked(command: Sequence[str], *, cwd: Path, **_: object) -> Ranks:
    """Start the job of a folder as one process, in place of the command that starts it with torchrun."""
    assert command[-1] == "launch.sh", command
    return Ranks(cwd, 1)


def _rank(folder: Path, rank: int, processes: int, port: int) -> None:
    # The server ignores a module that it cannot import; here the import fails with its reason.
    importlib.import_module(_PRELOADED)
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(processes),
        LOCAL_WORLD_SIZE=str(processes),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        OMP_NUM_THREADS="1",
    )
    sys.argv = ["alpaqual.trainers.fsdp_job", "job.json"]
    runpy.run_module("alpaqual.trainers.fsdp_job", run_name="__main__", alter_sys=True)


def start_jobs_forked(patch: pytest.MonkeyPatch) -> None:
    """Jobs of runs in this process are forked from one that has imported torch; in the nightly tier torchrun starts them."""
    import alpaqual.execution.training as training

    if not NIGHTLY:
        replaced = SimpleNamespace(**vars(subprocess) | {"Popen": start_forked})
        patch.setattr(training, "subprocess", replaced)
