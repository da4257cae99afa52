"""From rows to verdicts in one recipe: two models are trained, answer 40 questions and are judged; killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Project
from loopback import Server

pytest.importorskip("torch", reason="needs the extra 'train'")
from training import TINY, rows, write_tokenizer
from training.forking import start_jobs_forked

pytestmark = pytest.mark.slow

QUESTIONS = 40
SECONDS = 120


@pytest.fixture(scope="module")
def judge() -> Iterator[Server]:
    with Server(judge="random", latency_ms=30) as server:
        yield server


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def evaluated(project: Project, tokenizer: Path, judge: Server) -> Project:
    project.jsonl("d.jsonl", [{**row, "rating": n % 6} for n, row in enumerate(rows(12))])
    (project.folder / "words").symlink_to(tokenizer)
    asked = rows(QUESTIONS, start=100)
    project.jsonl("questions.jsonl", [{**row, "id": f"q{n}", "category": f"c{n % 3}"} for n, row in enumerate(asked)])
    project.ask(
        "d.jsonl",
        "graders: {rating: {column: rating, scale: {min: 0, max: 5, step: 1}}}\n"
        f"training: {{base_model: {{config: {json.dumps(TINY)}}}, tokenizer: words, datasets: [good, random], epochs: 1, "
        "batch_size: 4, precision: fp32, learning_rate: 0.001, max_length: 256}\n"
        "evaluation:\n"
        "  test_sets: [{name: own, path: questions.jsonl}]\n"
        "  answers: {max_new_tokens: 24, batch: 4}\n"
        f"  judge: {{model: openai/judge, base_url: {judge.openai}, concurrency: 2, price: {{input: 1, output: 2}}}}\n"
        "  pairs: [[good, random]]",
        datasets="{good: {threshold: {rating: 3}}, random: {sample: {like: good}, seed: 1}}",
    )
    return project


def replies(project: Project) -> int:
    """Lines of the ledger."""
    files = (project.folder / ".alpaqual" / "replies").glob("*.jsonl")
    return sum(file.read_bytes().count(b"\n") for file in files)


def kill_when(project: Project, reached: Callable[[], bool]) -> None:
    """Start a run in a process of its own, and kill it at a moment."""
    log = project.folder / "killed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "alpaqual", "run", "recipe.yaml"],
            cwd=project.folder,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            stdout=output,
            stderr=output,
        )
        ends = time.monotonic() + SECONDS
        while not reached():
            assert process.poll() is None, f"it ended before it could be killed:\n{log.read_text()}"
            assert time.monotonic() < ends, f"the moment did not come:\n{log.read_text()}"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_from_rows_to_verdicts_killed_twice_and_nothing_is_done_again(
    evaluated: Project, judge: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_jobs_forked(monkeypatch)
    evaluated.run(until="training")
    before = judge.stats()["requests"]
    kill_when(evaluated, lambda: replies(evaluated) >= 8)
    answered = replies(evaluated)
    assert answered < 2 * QUESTIONS, "it was killed while it judged, not while it answered"
    kill_when(evaluated, lambda: replies(evaluated) >= 2 * QUESTIONS + 10)

    run = evaluated.run()
    assert run.exit_code == 0, run.results.reasons
    found = run.results.evaluation
    assert found is not None
    assert [(each.model, each.answered) for each in found.answers] == [("good", QUESTIONS), ("random", QUESTIONS)]
    pair = found.pairs[0]
    assert pair.n == QUESTIONS and pair.unjudged == 0 and set(pair.categories) == {"c0", "c1", "c2"}
    assert pair.control == "random"
    # A request in flight when a process is killed may be answered and not kept.
    assert 2 * QUESTIONS <= judge.stats()["requests"] - before <= 2 * QUESTIONS + 4
    lines = (run.folder / "evaluation" / "answers" / "good.own.jsonl").read_text().splitlines()
    assert len(lines) == QUESTIONS

    paid = judge.stats()["requests"]
    again = evaluated.run()
    late = [each for each in again.outcomes if each.stage.partition(".")[0] in ("training", "answering", "judging")]
    assert len(late) == 5 and all(each.reused for each in late)
    assert again.results.evaluation is not None and again.results.evaluation.pairs == found.pairs
    assert judge.stats()["requests"] == paid
