"""A run asks local models: adapters, several processes, vLLM; each with its own replies in the ledger."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from conftest import Project

pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("transformers", reason="needs the extra 'train'")

from alpaqual.errors import MachineError

pytestmark = pytest.mark.slow
TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "unit" / "llm"))


@pytest.fixture
def asked(project: Project) -> Project:
    """A recipe that asks one local model 12 questions."""
    import tiny_models as t

    tokenizer = t.byte_tokenizer()
    t.saved(project.folder / "m", t.tiny("llama", len(tokenizer)), tokenizer)
    project.jsonl("d.jsonl", [{"instruction": "a", "input": "", "output": "b"}])
    project.jsonl("q.jsonl", [{"question": f"What is {at}?"} for at in range(12)])
    return project


def run(project: Project, answers: str) -> dict[str, object]:
    project.ask(
        "d.jsonl",
        "evaluation:\n  test_sets: [{name: own, path: q.jsonl}]\n  models: {m: {model: local/m, prompt: alpaca}}\n"
        f"  answers: {{max_new_tokens: 5, batch: 4{answers}}}",
    )
    (found,) = project.run().results["evaluation"]["answers"]
    return found


def texts(project: Project) -> list[str]:
    path = next(project.folder.glob("runs/*/evaluation/answers/m.own.jsonl"))
    return [json.loads(line)["answer"] for line in path.read_text().splitlines()]


def test_several_processes_answer(asked: Project) -> None:
    several = run(asked, ", processes: 2")
    assert (several["answered"], several["calls_made"], several["calls_reused"]) == (12, 12, 0)
    assert run(asked, "")["calls_made"] == 0


def test_vllm_serves_the_same_model_under_its_own_name(asked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    with pytest.raises(MachineError, match="pip install vllm"):
        run(asked, ", engine: vllm")
    program = asked.write("bin/vllm", (TESTS / "servers" / "vllm_program.py").read_text())
    program.write_text(program.read_text().replace("/usr/bin/env python3", sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("VLLM_LOG", str(asked.folder / "log.jsonl"))
    found = run(asked, ", engine: vllm")
    assert (found["answered"], found["calls_made"], found["cut"]) == (12, 12, 0)
    assert all(text.endswith(" tokens") for text in texts(asked))
    assert found["gpu_hours"] is not None
    bodies = [json.loads(line) for line in (asked.folder / "log.jsonl").read_text().splitlines()][1:]
    assert len(bodies) == 12 and {body["max_tokens"] for body in bodies} == {5}
    # Another engine's replies are not those of this one.
    assert run(asked, "")["calls_made"] == 12
    assert run(asked, ", engine: vllm")["calls_made"] == 0


def test_turns_that_are_not_asked_are_said(asked: Project) -> None:
    asked.jsonl("q.jsonl", [{"turns": ["Why?", "And now?"]}, {"turns": ["How?"]}])
    run(asked, "")
    for _ in range(2):
        reasons = asked.run().results["reasons"]
        note = "own: 1 of 2 questions have further turns, which are not asked: the first one is answered and judged"
        assert [reason["text"] for reason in reasons].count(note) == 1
