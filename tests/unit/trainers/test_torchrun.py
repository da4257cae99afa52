"""launch.sh with real torchrun: it starts, joins a rendezvous, and stops on signals."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_launch_scripts import job, write

pytestmark = pytest.mark.slow


class Started:
    """A running launch.sh, the lines of its processes, and a way to wait for one."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.lines: list[str] = []
        self.changed = threading.Condition()
        settings = {"PYTHON": sys.executable, "STEPS": "20", "SECONDS_TO_SAVE": "1", "PYTHONPATH": str(folder / "code")}
        self.process = subprocess.Popen(
            ["bash", folder / "launch.sh"],
            env=os.environ | settings | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def wait_for(self, words: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: any(words in line for line in self.lines), timeout=60), self.lines

    def end(self) -> int:
        code = self.process.wait(timeout=60)
        self.reader.join(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def lines_of_ranks(self) -> list[str]:
        return sorted(line for line in self.lines if re.match(r"\d of \d: ", line))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder, with ranks_job.py in place of the training script."""
    package = tmp_path / "code" / "alpaqual" / "trainers" / "fsdp_job"
    package.mkdir(parents=True)
    for place in (package, *list(package.parents)[:2]):
        (place / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("ranks_job.py"), package / "__main__.py")
    return tmp_path


def test_without_a_gpu_one_process_stops_on_a_signal_and_resumes(folder: Path) -> None:
    write(folder, job())

    first = Started(folder, CUDA_VISIBLE_DEVICES="", STEPS="100000")
    first.wait_for("0 of 1: started at 0")
    first.process.send_signal(signal.SIGUSR1)
    assert first.end() == 1
    saved = int((folder / "checkpoint.txt").read_text())
    assert first.lines_of_ranks() == ["0 of 1: received 1 signals", f"0 of 1: saved {saved}", "0 of 1: started at 0"]

    again = Started(folder, CUDA_VISIBLE_DEVICES="", STEPS=str(saved + 3))
    assert again.end() == 0
    assert again.lines_of_ranks() == [f"0 of 1: done {saved + 3}", f"0 of 1: started at {saved}"]


def test_two_nodes_join_and_a_signal_to_one_stops_both(folder: Path) -> None:
    write(folder, job(nodes=2, processes=1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"RDZV_ENDPOINT": f"127.0.0.1:{port}", "MAX_RESTARTS": "0", "STEPS": "100000"}

    nodes = [Started(folder, **environment, RDZV_NODE=number) for number in ("1", "0")]
    for node in nodes:
        node.wait_for("of 2: started at 0")
    nodes[0].process.send_signal(signal.SIGTERM)
    # A scheduler may send the signal twice: torchrun still waits.
    nodes[0].wait_for("of 2: received")
    nodes[0].process.send_signal(signal.SIGTERM)
    assert [node.end() for node in nodes] == [1, 1]
    lines = [line for node in nodes for line in node.lines_of_ranks()]
    assert {line[:6] for line in lines} == {"0 of 2", "1 of 2"}
    assert len([line for line in lines if "saved" in line]) == 2


def test_torchrun_kills_workers_after_its_timeout(folder: Path) -> None:
    write(folder, job(processes=1))

    started = Started(folder, STEPS="100000", SECONDS_TO_SAVE="100", TORCH_ELASTIC_SHUTDOWN_TIMEOUT="1")
    started.wait_for("0 of 1: started at 0")
    started.process.send_signal(signal.SIGTERM)
    assert started.end() == 1
    assert not (folder / "checkpoint.txt").exists()
    assert any("forcefully exiting" in line for line in started.lines)
