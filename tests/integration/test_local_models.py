"""A real small model grades real rows on this machine: SmolLM2-135M-Instruct by generation, by expectation, and IFD."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from small_model import safetensors_folder
from tiers import NIGHTLY

from alpaqual.errors import RecipeError
from alpaqual.llm.local import Plugin
from alpaqual.plan.answer_requests import answer_request
from alpaqual.values import Endpoint, Question

pytestmark = pytest.mark.slow

pytest.importorskip("torch", reason="needs the extra 'train'")
ROWS = 200 if NIGHTLY else 8
IFD_ROWS = 60 if NIGHTLY else 10


@pytest.fixture
def small(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the model in its folder `small`."""
    folder = safetensors_folder(tmp_path_factory)
    shutil.copytree(folder, project.folder / "small", copy_function=os.link)
    return project


def shortest(count: int) -> list[dict[str, str]]:
    """Rows of the quickstart, the shortest first: what is tried here is not the speed of a long prompt."""
    data = Path(__file__).resolve().parents[2] / "recipes" / "data" / "quickstart.jsonl"
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["instruction"] and row["output"]]
    return sorted(rows, key=lambda row: len(json.dumps(row)))[:count]


# So small a model seldom writes a number, and is asked three times: in few words.
PROMPT = """Rate the [dimension] of the response from [min] to [max].
Instruction: [instruction]
Input: [input]
Response: [response]
Reply with one number."""


def test_rows_by_generation_and_by_expectation(small: Project) -> None:
    project = small
    project.jsonl("d.jsonl", shortest(ROWS))
    project.write("prompt.txt", PROMPT)
    scale = "scale: {min: 0, max: 5, step: 0.5}"
    graders = (
        f"graders:\n  written: {{model: local/small, {scale}, max_tokens: 6, prompt: prompt.txt}}\n"
        f"  expected: {{model: local/small, {scale}, scoring: expectation, prompt: prompt.txt}}"
    )
    expect = "expect: [{grader: written, unscored: {max: 100%}}]"
    project.ask("d.jsonl", f"{graders}\n{expect}", datasets="{good: {threshold: {expected: 2.25}}}")
    run = project.run()
    found = run.results["graders"]
    assert [found[name]["rows"] for name in ("written", "expected")] == [ROWS] * 2
    assert found["expected"]["scored"] == ROWS
    assert found["expected"]["calls_made"] == len({row["id"].partition("-")[0] for row in run.rows(limit=1000)})
    assert found["written"]["scored"] > ROWS / 4
    assert found["written"]["scored"] + found["written"]["unscored"] == ROWS
    assert set(found["written"]["unscored_reasons"]) <= {"no number", "out of scale", "refusal", "empty reply"}
    grades = run.grades.polars()
    expected = grades.filter(grades["grader"] == "expected")["score"].to_list()
    assert all(0 < score < 5 for score in expected)
    assert len(set(expected)) > ROWS / 2  # between the steps
    # The same model under another name is the same model.
    (project.folder / "small").rename(project.folder / "moved")
    recipe = project.recipe.read_text().replace("local/small", "local/moved")
    project.recipe.write_text(recipe)
    again = project.run()
    assert all(outcome.reused for outcome in again.outcomes)
    assert again.results["graders"]["expected"]["histogram"] == found["expected"]["histogram"]


def test_answers_in_batches_are_those_alone(small: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that few tokens are a long reply, which leaves its place to the next.
    monkeypatch.setattr("alpaqual.llm._local_generating._LONG", 4)
    texts = [row["instruction"] for row in shortest(3)]
    settings = {"temperature": 0, "max_tokens": 12}

    def answers(batch: int) -> list[Any]:
        plugin = Plugin(Endpoint("local", "small", folder=str(small.folder), batch=batch))

        async def work() -> list[Any]:
            requests = [answer_request("local/m", Question(text, text), "chat", settings) for text in texts]
            found = [await plugin.complete(each) for each in requests] if batch == 1 else await together(requests)
            await plugin.close()
            return found

        async def together(requests: list[Any]) -> list[Any]:
            return await asyncio.gather(*map(plugin.complete, requests))

        return asyncio.run(work())

    assert answers(2) == answers(1)


def test_a_response_is_likelier_after_its_instruction_than_alone(small: Project) -> None:
    small.jsonl("d.jsonl", shortest(IFD_ROWS))
    grader = "graders: {difficulty: {model: local/small, kind: ifd}}"
    small.ask("d.jsonl", grader, datasets="{hard: {threshold: {difficulty: 0.5}}}")
    scores = small.run().grades.polars()["score"].drop_nulls().to_list()
    assert len(scores) > 0.9 * IFD_ROWS
    assert sum(score < 1 for score in scores) > 0.8 * len(scores)


def test_a_model_that_is_not_there_is_refused_at_its_place(project: Project) -> None:
    project.jsonl("d.jsonl", shortest(3))
    project.ask("d.jsonl", "graders: {g: {model: local/nowhere.gguf}}")
    with pytest.raises(RecipeError, match=r"there is no model nowhere\.gguf"):
        project.run()
