"""A run with overrides has a folder of its own, so that the recipe's own run stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Project

from alpaqual import api
from alpaqual.errors import StageError
from alpaqual.execution.folder import run_name

SET = "datasets.quality.threshold.score=5"
ROWS = [{"instruction": f"q{i}", "output": f"answer {i}", "s": i % 6} for i in range(30)]


@pytest.fixture
def scored(project: Project) -> Project:
    project.jsonl("data.jsonl", ROWS)
    project.ask(more="graders: {score: {column: s}}", datasets="{quality: {threshold: {score: 4}}}")
    return project


def named(project: Project, *sets: str) -> str:
    return run_name(api.read_recipe(project.recipe, sets))


def test_a_run_with_overrides_leaves_the_run_without_them(scored: Project) -> None:
    first = scored.run()
    opened = api.open_run(first.folder)
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    other = scored.run(sets=[SET])
    assert other.folder.parent == first.folder.parent
    assert other.folder != first.folder
    assert (len(first.datasets["quality"]), len(other.datasets["quality"]), len(opened.datasets["quality"])) == (
        10,
        5,
        10,
    )
    assert {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()} == before
    assert scored.run(sets=[SET]).folder == other.folder
    out = scored.run(sets=[SET], out=scored.folder / "here")
    assert out.folder == scored.folder / "here"


def test_plan_compares_with_the_folder_of_the_same_overrides(scored: Project) -> None:
    def planned(*sets: str) -> str:
        words = [word for each in sets for word in ("--set", each)]
        done = scored.command("plan", "recipe.yaml", "--json", *words)
        stages = json.loads(done.stdout)["stages"]
        return next(str(stage["why"]) for stage in stages if stage["stage"] == "selecting.quality")

    scored.run()
    assert planned(SET) == "changed: threshold.score 4.0 -> 5.0"
    scored.run(sets=[SET])
    assert planned(SET) == "its result is in the store"
    text = scored.recipe.read_text().replace("{quality: {threshold", "{quality: {seed: 7, threshold")
    scored.write("recipe.yaml", text)
    assert planned(SET) == "changed: seed nothing -> 7"
    assert planned() == "changed: seed nothing -> 7"


def test_names_of_folders(scored: Project) -> None:
    assert named(scored) == "trial"
    assert named(scored, "name=other") == "other"
    one = named(scored, SET)
    assert one.startswith("trial@score-5-")
    assert Path(one).name == one
    assert named(scored, SET, "name=other") == one.replace("trial@", "other@")
    assert named(scored, "datasets.quality.threshold.score=4.5") != one
    assert named(scored, SET, "datasets.quality.seed=3") == named(scored, "datasets.quality.seed=3", SET)
    assert named(scored, "datasets.quality.seed=9", SET, "datasets.quality.seed=3") == named(
        scored, SET, "datasets.quality.seed=3"
    )
    hostile = named(scored, "title=../../[*]?{x}=y/z é " + "long " * 50)
    assert Path(hostile).name == hostile
    assert not set(hostile) & set("/[]*?{}= ")
    assert len(hostile) < 64


def test_a_run_whose_files_a_later_run_replaced_shows_no_other_rows(scored: Project) -> None:
    first = scored.run()
    scored.write("recipe.yaml", scored.recipe.read_text().replace("{score: 4}", "{score: 5}"))
    second = scored.run()
    assert second.folder == first.folder
    assert len(second.datasets["quality"]) == 5
    for read in (lambda: first.datasets, lambda: first.fates, lambda: first.grades, lambda: first.failures, first.rows):
        with pytest.raises(StageError, match="a later run has replaced the files of this one"):
            read()
    assert first.results.datasets["quality"].rows == 10
