"""Jobs whose processes are forked from one that has imported torch already: what torchrun starts, without its imports.

A job's process runs `alpaqual.trainers.fsdp_job` as its main program, with the environment that torchrun gives it.
Importing torch and transformers costs each process several seconds, and torchrun imports torch once more.
"""

from __future__ import annotations

import importlib
import multiprocessing.connection
import os
import runpy
import socket
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

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


def run_ranks(folder: Path, processes: int, seconds: float) -> int:
    """Run the job of a folder to its end; the exit code of the first process that failed, else 0.

    As torchrun does, ends the other processes when one fails. Raises TimeoutError after `seconds`.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    context = _context()
    ranks = [context.Process(target=_rank, args=(folder, rank, processes, port)) for rank in range(processes)]
    for process in ranks:
        process.start()
    try:
        return _wait(ranks, seconds)
    finally:
        for process in ranks:
            process.kill()
            process.join()


def _wait(ranks: list[ForkServerProcess], seconds: float) -> int:
    running = {process.sentinel: process for process in ranks}
    while running:
        ended = multiprocessing.connection.wait(list(running), seconds)
        if not ended:
            raise TimeoutError(f"no process of the job ended within {seconds:g} s")
        for sentinel in ended:
            process = running.pop(sentinel)  # type: ignore[call-overload]
            process.join()
            if process.exitcode:
                return process.exitcode
    return 0


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
