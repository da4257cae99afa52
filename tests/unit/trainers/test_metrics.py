"""The run time of a job counts every second of every attempt once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from alpaqual.trainers.fsdp_job.metrics import Flops, Metrics  # noqa: E402

pytestmark = pytest.mark.slow


def run_time(folder: Path, ago: float) -> float:
    """Seconds of all attempts, where this one's launcher started `ago` seconds ago."""
    flops = Flops(1.0, 1.0, None, torch.device("cpu"))
    metrics = Metrics(folder, 0, time.time() - ago, flops, tensorboard=False)
    metrics.close()
    return metrics.run_time()


def test_an_attempt_counts_from_the_start_of_its_launcher(tmp_path: Path) -> None:
    assert run_time(tmp_path, 100) == pytest.approx(100, abs=5)


def test_restarted_processes_count_their_launchers_time_once(tmp_path: Path) -> None:
    run_time(tmp_path, 100)
    assert run_time(tmp_path, 100) == pytest.approx(100, abs=5)


def test_time_between_attempts_does_not_count(tmp_path: Path) -> None:
    before = {"seconds": 500.0, "until": time.time() - 3600}
    (tmp_path / "run_time.json").write_text(json.dumps(before), encoding="utf-8")
    assert run_time(tmp_path, 10) == pytest.approx(510, abs=5)
    assert run_time(tmp_path, 3000) == pytest.approx(510, abs=5)
