"""What `plan` says of the calls of a grader before a run: cost, time, and what a person should know first."""

from __future__ import annotations

import json

import pytest
from conftest import Project

from alpaqual.recipe.thinking import reasons_by_default

PRICE = "price: {input: 1, output: 1000}"


def write(project: Project, words: str, model: str = "openai/gpt-4o-mini") -> None:
    project.jsonl("d.jsonl", [{"instruction": f"Question {n}", "output": f"Answer {n}."} for n in range(100)])
    project.ask("d.jsonl", f"graders: {{g: {{model: {model}, {words}}}}}", datasets="{good: {threshold: {g: 4}}}")


def plan(project: Project, words: str, model: str = "openai/gpt-4o-mini") -> str:
    write(project, words, model)
    done = project.command("plan", "recipe.yaml", "-q")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_budget_needs_a_price_before_the_run_too(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key")
    write(project, "budget_usd: 1", "openai/a-model-of-our-own")
    planned, run = (project.command(command, "recipe.yaml", "-q") for command in ("plan", "run"))
    assert planned.returncode == run.returncode == 2
    assert planned.stderr == run.stderr
    assert planned.stderr.startswith(
        "recipe.yaml:5:22: budget_usd of g needs a price, and none is listed for openai/a-mod"
    )
    assert "'price: {input: 0, output: 0}' for a server of your own" in planned.stderr
    assert "100 calls" in plan(project, "budget_usd: 1, price: {input: 0, output: 0}", "openai/a-model-of-our-own")


def test_a_budget_that_will_stop_the_run_is_named(project: Project) -> None:
    # 16 tokens of reply are $0.016 a call, and its prompt is about $0.0003.
    said = plan(project, f"{PRICE}, budget_usd: 0.8")
    assert "note: grader g: budget_usd of g of $0.80 will stop the run after about 49 of 100 calls" in said
    assert "will stop" not in plan(project, f"{PRICE}, budget_usd: 2")
    printed = json.loads(project.command("plan", "recipe.yaml", "--json").stdout)
    assert printed["graders"][0]["notes"] == []


def test_the_time_counts_the_length_of_replies_and_the_rates_of_the_recipe(project: Project) -> None:
    assert "about 20 s (4 at a time, 50 tokens a second each)" in plan(project, "concurrency: 4")
    assert "about 4 min 22 s" in plan(project, "concurrency: 4, max_tokens: 500")
    assert "about 10 min (requests_per_minute)" in plan(project, "requests_per_minute: 10")


@pytest.mark.parametrize("model", ["openai/o3", "openai/gpt-5-mini", "openai/o4-mini", "openai/deepseek/deepseek-r1"])
def test_a_model_that_reasons_by_default_is_named(project: Project, model: str) -> None:
    said = f"note: grader g: {model} reasons by default"
    assert said in plan(project, "pilot: 0", model)
    for words in ("max_tokens: 3000", "parameters: {reasoning_effort: low}"):
        assert said not in plan(project, words, model)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-5-chat-latest", "gpt-5.1", "o365-model", "qwen3-30b-instruct"])
def test_models_that_answer_at_once_are_not(model: str) -> None:
    assert not reasons_by_default(f"openai/{model}", {})
