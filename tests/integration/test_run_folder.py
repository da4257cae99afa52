"""A run replaces and removes only files that a run made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Project

import alpaqual
from alpaqual.api import open_run
from alpaqual.errors import RecipeError, StageError
from alpaqual.execution.folder import MARKER, RunFolder
from alpaqual.execution.results import failed_results

ROWS = [{"instruction": f"q{i}", "output": f"answer {i}"} for i in range(5)]


def compiled(folder: Path) -> alpaqual.Plan:
    project = Project(folder)
    project.jsonl("data.jsonl", ROWS)
    return alpaqual.plan_recipe(project.ask())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["datasets/mine.jsonl", "tables/rows.parquet", "results.json", "notes.txt"])
def test_a_folder_with_other_files_is_refused_and_unchanged(project: Project, name: str) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.ask()
    project.write(f"work/{name}", '{"not": "a run"}\n')
    before = contents(project.folder / "work")
    done = project.command("run", "recipe.yaml", "--out", "work")
    assert done.returncode == 2
    assert done.stderr.startswith("work: is not empty and no run made it: name another folder with --out")
    assert contents(project.folder / "work") == before


def test_the_project_itself_is_refused_as_a_run_folder(project: Project) -> None:
    project.jsonl("datasets/other.jsonl", ROWS)
    project.ask("datasets/other.jsonl")
    with pytest.raises(RecipeError, match="is not empty and no run made it"):
        project.run(out=project.folder)
    assert (project.folder / "datasets" / "other.jsonl").is_file()


def test_a_run_removes_its_own_old_datasets_and_no_other_file(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.ask(datasets="{full: {}, few: {sample: 2}}")
    run = project.run()
    (run.folder / "datasets" / "mine.jsonl").write_text("{}\n")
    (run.folder / "tables" / "mine.parquet").write_text("mine")
    (run.folder / "notes.md").write_text("mine")
    project.ask(datasets="{full: {}}")
    again = project.run()
    assert sorted(path.name for path in (again.folder / "datasets").iterdir()) == ["full.jsonl", "mine.jsonl"]
    assert (again.folder / "tables" / "mine.parquet").read_text() == "mine"
    assert (again.folder / "notes.md").read_text() == "mine"


def test_a_stage_that_fails_removes_no_other_file(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.ask()
    run = project.run()
    (run.folder / "datasets" / "mine.jsonl").write_text("{}\n")
    project.write("scores.csv", "id,score\na,1\na,2\n")
    project.ask(more="graders: {g: {table: scores.csv, scale: {min: 0, max: 5}}}", datasets="{full: {}}")
    with pytest.raises(StageError, match="not valid"):
        project.run()
    assert (run.folder / "datasets" / "mine.jsonl").read_text() == "{}\n"
    assert open_run(run.folder).results == run.results


def test_a_file_under_a_name_that_a_run_needs_is_not_replaced(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.ask()
    run = project.run()
    (run.folder / "datasets" / "few.jsonl").write_text("mine")
    project.ask(datasets="{full: {}, few: {sample: 2}}")
    with pytest.raises(StageError, match=r"few\.jsonl is there and no run made it: move it away and run again"):
        project.run()
    assert (run.folder / "datasets" / "few.jsonl").read_text() == "mine"


def test_an_empty_folder_and_one_of_empty_folders_are_taken(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.ask()
    (project.folder / "out" / "datasets").mkdir(parents=True)
    assert project.run(out=project.folder / "out").exit_code == 0


def test_a_run_folder_of_a_version_without_markers_is_recognised(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.ask(datasets="{full: {}, few: {sample: 2}}")
    run = project.run()
    (run.folder / MARKER).unlink()
    (run.folder / "datasets" / "mine.jsonl").write_text("mine")
    project.ask(datasets="{full: {}}")
    again = project.run()
    assert sorted(path.name for path in (again.folder / "datasets").iterdir()) == ["full.jsonl", "mine.jsonl"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": 3}'])
def test_a_damaged_marker_is_refused(project: Project, text: str) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.ask()
    run = project.run()
    (run.folder / MARKER).write_text(text)
    before = contents(run.folder)
    with pytest.raises(RecipeError, match="cannot be read: it lists what runs made here"):
        project.run()
    assert contents(run.folder) == before


def test_a_marker_from_elsewhere_cannot_name_files_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    names = ["../outside.txt", str(outside), "tables/../../outside.txt", "", "results.json"]
    (folder / MARKER).write_text(json.dumps({"version": 1, "files": names}))
    opened = RunFolder.open(folder)
    assert opened.made == {"results.json"}
    opened.commit(failed_results(compiled(tmp_path), StageError("failed")))
    assert outside.read_text() == "mine"


def test_results_from_elsewhere_cannot_name_files_outside(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.ask()
    project.write("mine.jsonl", "mine\n")
    foreign = {"version": 1, "verdict": "pass", "recipe": {}, "datasets": {"../../mine": {}}}
    project.write("work/results.json", json.dumps(foreign))
    assert project.command("run", "recipe.yaml", "--out", "work").returncode == 0
    assert (project.folder / "mine.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize("datasets", [None, 5, "full", [{}], [1]])
def test_results_whose_datasets_are_something_else_name_no_files(project: Project, datasets: object) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.ask()
    foreign = {"version": 1, "verdict": "pass", "recipe": {}, "datasets": datasets}
    project.write("work/results.json", json.dumps(foreign))
    assert project.run(out=project.folder / "work").verdict == "pass"
