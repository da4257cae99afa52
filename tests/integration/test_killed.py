"""A run that is killed at any moment leaves nothing wrong behind, and the next one completes it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Project
from tiers import moments

from alpaqual.execution.folder import MARKER

pytestmark = pytest.mark.slow

MOMENTS = moments(3, 12)
RECIPE = """\
version: 1
name: trial
sources:
  - path: data.jsonl
rules:
  - {id: long_enough, column: output, check: {str_length: {min: 4}}, warn: 0, fail: 50%, drop: true}
  - {id: copies, check: no_duplicates, warn: 0, fail: 50%}
categories:
  - {category: coding, keywords: [Python, java]}
graders:
  score: {column: s}
datasets:
  quality: {threshold: {score: 4}, quotas: {coding: {min_keep_rate: 0.5, floor: 1}}}
  random: {sample: {like: quality}, seed: 42}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    made = random.Random(7)
    with (folder / "data.jsonl").open("w") as stream:
        for i in range(60_000):
            text = f"{made.random()} Python" if i % 9 == 0 else f"{made.random()}"
            stream.write(json.dumps({"instruction": f"q{i}", "output": text, "s": made.randrange(6)}) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "alpaqual", "run", "recipe.yaml", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        # A suite that a shell started in the background ignores SIGINT, and so would its processes.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def outcome(folder: Path) -> dict[str, bytes]:
    run = folder / "runs" / "trial"
    return {str(path.relative_to(run)): path.read_bytes() for path in [run / "results.json", *run.glob("datasets/*")]}


@pytest.fixture(scope="module")
def undisturbed(data: Path) -> tuple[dict[str, bytes], float]:
    """The results of a run that is not interrupted, and its seconds."""
    started = time.monotonic()
    process = start(data)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    took = time.monotonic() - started
    found = outcome(data)
    assert set(found) == {"results.json", "datasets/quality.jsonl", "datasets/random.jsonl"}
    forget(data)
    return found, took


def forget(folder: Path) -> None:
    for made in (".alpaqual", "runs"):
        shutil.rmtree(folder / made, ignore_errors=True)


def assert_nothing_left_over(folder: Path) -> None:
    store = folder / ".alpaqual" / "store"
    assert not any((store / "unfinished").iterdir())
    for result in (path for shard in store.iterdir() if len(shard.name) == 2 for path in shard.iterdir()):
        assert (result / "seal.json").is_file()
    assert not [path for path in (folder / "runs").rglob(".*") if path.name != MARKER]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_is_completed_by_the_next(
    data: Path, undisturbed: tuple[dict[str, bytes], float], moment: int
) -> None:
    wanted, took = undisturbed
    forget(data)
    # From the time that starting Python takes to a little before the end, one in each of as many parts.
    part = 0.85 * took / len(MOMENTS)
    process = start(data)
    time.sleep(0.12 * took + part * (moment + random.Random(moment).random()))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    results = data / "runs" / "trial" / "results.json"
    if results.exists():
        # Results come last: once they are there, all is there.
        assert outcome(data) == wanted
    again = start(data, "-q")
    output, errors = again.communicate(timeout=120)
    assert (again.returncode, output, errors) == (0, "", "")
    assert outcome(data) == wanted
    assert_nothing_left_over(data)


def test_two_runs_at_the_same_time_both_succeed(data: Path, undisturbed: tuple[dict[str, bytes], float]) -> None:
    forget(data)
    processes = [start(data) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert outcome(data) == undisturbed[0]
    assert_nothing_left_over(data)


@pytest.mark.parametrize("moment", moments(2, 4))
def test_an_interrupted_run_says_one_line(data: Path, moment: int) -> None:
    forget(data)
    process = start(data, "-q")
    unfinished = data / ".alpaqual" / "store" / "unfinished"
    while not (unfinished.is_dir() and any(unfinished.iterdir())):
        time.sleep(0.002)
    # Now the first stage is at work: in its queries, most of the time.
    time.sleep(0.03 * moment)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert (output, errors) == ("", "stopped; finished work is kept, run again to resume\n")
    assert not (data / "runs" / "trial" / "results.json").exists()
    assert not any(unfinished.iterdir())


def test_files_of_a_dead_process_are_removed(project: Project) -> None:
    project.jsonl("data.jsonl", [{"instruction": "q", "output": "a"}])
    project.ask("data.jsonl")
    project.run()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    unfinished = project.folder / ".alpaqual" / "store" / "unfinished"
    run = project.folder / "runs" / "trial"
    dead = [
        unfinished / f"{gone.pid}-abc" / "rows.parquet",
        unfinished / "duckdb_temp_storage-0.tmp",
        run / f".results.json.{gone.pid}",
        run / "tables" / f".rows.parquet.{gone.pid}",
        run / "datasets" / f".full.jsonl.{gone.pid}",
    ]
    others = [
        unfinished / f"{os.getpid()}-mine" / "rows.parquet",
        run / ".notes.12",
        run / f".rows.parquet.{os.getpid()}",
    ]
    for path in [*dead, *others]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left over")
    project.run()
    assert [path for path in dead if path.exists()] == []
    assert [path for path in others if not path.exists()] == []
