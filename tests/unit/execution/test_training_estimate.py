"""Estimates of training before it starts: steps, tokens, memory, time, cost."""

from __future__ import annotations

import json

import pytest
from conftest import Project

import alpaqual
from alpaqual.api import commands, estimate_jobs
from alpaqual.execution.training_estimate import measured_speed
from alpaqual.job import to_json
from alpaqual.llm.local import count_weights
from alpaqual.plan.training import TrainStage

LLAMA = (
    "{model_type: llama, hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32, num_attention_heads: 32, "
    "vocab_size: 32000}"
)


def recipe(project: Project, **training: str) -> alpaqual.Plan:
    project.jsonl(
        "d.jsonl", [{"instruction": "i" * 400, "input": "", "output": f"{n}" + "o" * 399} for n in range(300)]
    )
    words = {"base_model": f"{{config: {LLAMA}}}", "tokenizer": "a/b", "datasets": "[full]", **training}
    project.ask("d.jsonl", f"training: {{{', '.join(f'{word}: {value}' for word, value in words.items())}}}")
    return alpaqual.plan_recipe(project.recipe)


def test_without_a_selection_the_estimate_reports_no_rows(project: Project) -> None:
    (found,) = estimate_jobs(recipe(project))
    assert found.rows is None and "rows are not selected yet" in str(found)


def test_steps_tokens_time_and_cost_are_estimated(project: Project) -> None:
    plan = recipe(project, price_per_gpu_hour="3", launch="{processes: 4, start: elsewhere}")
    alpaqual.run(project.recipe, until="selecting")
    (found,) = estimate_jobs(plan)
    assert (found.rows, found.steps) == (300, 9)
    # 800 bytes and the prompt, three times.
    assert found.tokens == 300 * (200 + 45) * 3
    assert found.weights == 6_738_415_616
    assert found.bytes == 6_738_415_616 * 16 // 4
    assert found.seconds == pytest.approx(6 * found.weights * found.tokens / (4 * 989e12 * 0.4))
    assert found.usd == pytest.approx(found.seconds / 3600 * 4 * 3)
    assert "6.74 billion weights, about 25.1 GiB a device before activations" in str(found)
    assert "4 x H100 at 40% of its speed" in str(found)


def test_the_tokens_of_conversations_are_those_of_all_turns(project: Project) -> None:
    turns = [{"role": "user", "content": "i" * 400}, {"role": "assistant", "content": "o" * 400}]
    project.jsonl("d.jsonl", [{"messages": [*turns, *turns], "n": n} for n in range(30)])
    words = (
        f"base_model: {{config: {LLAMA}}}, tokenizer: a/b, datasets: [full], prompt: chat, max_length: 4096, epochs: 1"
    )
    project.ask("d.jsonl", f"training: {{{words}}}", datasets="{full: {split: {train: 0.5, test: 0.5, by: n}}}")
    alpaqual.run(project.recipe, until="writing")
    (found,) = estimate_jobs(alpaqual.plan_recipe(project.recipe))
    assert found.rows is not None and found.tokens == found.rows * (400 + 45)


def test_without_a_gpu_no_time_is_estimated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    plan = recipe(project)
    alpaqual.run(project.recipe, until="selecting")
    (found,) = estimate_jobs(plan)
    assert found.seconds is None and "no GPU here, and nothing measured yet" in str(found)


@pytest.mark.parametrize(("method", "a_weight"), [("full", 16.0), ("lora", 2.0), ("qlora", 0.55)])
def test_adapters_take_less_memory(method: str, a_weight: float, project: Project) -> None:
    plan = recipe(project, method=method)
    (found,) = estimate_jobs(plan)
    assert found.bytes == round(6_738_415_616 * a_weight)


def test_the_plan_prints_the_command(project: Project) -> None:
    plan = recipe(project)
    folder = project.folder / "runs" / "trial" / "training" / "full"
    assert commands(plan) == {"training.full": f"cd {folder} && bash launch.sh"}
    said = project.command("plan", "recipe.yaml", "-q").stdout
    assert f"training.full is: cd {folder} && bash launch.sh" in said
    printed = json.loads(project.command("plan", "recipe.yaml", "--json").stdout)
    assert printed["training"][0]["weights"] == 6_738_415_616 and list(printed["commands"]) == ["training.full"]


def test_the_weights_of_a_folder_are_counted_without_reading_them(tmp_path) -> None:
    table = {"a": {"shape": [3, 4]}, "b": {"shape": [5]}, "__metadata__": {"format": "pt"}}
    text = json.dumps(table).encode()
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    assert count_weights(tmp_path) == 17
    assert count_weights(tmp_path / "model.safetensors") is None


@pytest.mark.parametrize(
    ("change", "measured"),
    [
        ({}, True),
        ({"seed": "7"}, True),
        ({"base_model": "a/other"}, False),
        ({"base_model": f"{{config: {LLAMA}}}"}, False),
        ({"method": "lora"}, False),
        ({"max_length": "100"}, False),
        ({"launch": "{processes: 2}"}, False),
    ],
)
def test_the_speed_of_another_model_is_no_measure(change: dict[str, str], measured: bool, project: Project) -> None:
    (stage,) = recipe(project, base_model="a/model").of(TrainStage)
    folder = project.folder / "run" / "training" / "full"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(to_json(stage.job))
    lines = [{"step": step, "tokens": 100, "seconds": 2.0} for step in (1, 2, 3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (other,) = recipe(project, **{"base_model": "a/model", **change}).of(TrainStage)
    assert measured_speed(project.folder / "run", other.job) == (50.0 if measured else None)
