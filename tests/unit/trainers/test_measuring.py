"""What a job pays for: every second of every attempt, and none of them twice."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from alpaqual.trainers.fsdp_job.measuring import Metrics, Speed  # noqa: E402

pytestmark = pytest.mark.slow


def lived(folder: Path, ago: float) -> float:
    """Seconds of all attempts, this one's launcher having begun so many seconds ago."""
    speed = Speed(1.0, 1.0, None, torch.device("cpu"))
    metrics = Metrics(folder, 0, time.time() - ago, speed, tensorboard=False)
    metrics.close()
    return metrics.lived()


def test_an_attempt_counts_from_its_launchers_beginning(tmp_path: Path) -> None:
    assert lived(tmp_path, 100) == pytest.approx(100, abs=5)


def test_processes_that_one_launcher_starts_again_count_its_time_once(tmp_path: Path) -> None:
    lived(tmp_path, 100)
    assert lived(tmp_path, 100) == pytest.approx(100, abs=5)


def test_what_lies_between_two_attempts_costs_nothing(tmp_path: Path) -> None:
    told = {"seconds": 500.0, "until": time.time() - 3600}
    (tmp_path / "lived.json").write_text(json.dumps(told), encoding="utf-8")
    assert lived(tmp_path, 10) == pytest.approx(510, abs=5)
    assert lived(tmp_path, 3000) == pytest.approx(510, abs=5)
