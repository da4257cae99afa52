"""Why stages run again: reasons are those that a person can check."""

from __future__ import annotations

import json

from conftest import Project

from alpaqual import api

SCORED = "graders: {g: {column: mark, scale: {min: 0, max: 5}}}"


def write(project: Project, more: str = SCORED) -> None:
    project.jsonl("d.jsonl", [{"instruction": f"Q {n}", "output": f"A {n}", "mark": n % 6} for n in range(30)])
    project.ask("d.jsonl", more, datasets="{good: {threshold: {g: 4}}}")


def why(project: Project) -> dict[str, str]:
    return {each.stage: each.why for each in api.explain(api.plan_recipe(project.recipe))}


def test_sql_that_follows_another_part_of_the_recipe_is_no_new_version(project: Project) -> None:
    write(project)
    run = project.run()
    write(project, SCORED.replace("max: 5", "max: 5, step: 0.5"))
    said = why(project)["selecting.good"]
    assert "its SQL changed with other parts of the recipe; its inputs changed: grading.g" in said
    assert "version" not in said
    record = json.loads((run.folder / "stages.json").read_text())
    assert all(stage.pop("version") for stage in record.values())
    (run.folder / "stages.json").write_text(json.dumps(record))
    assert "its SQL changed with a new alpaqual version" in why(project)["selecting.good"]


def test_a_run_until_a_stage_leaves_the_later_ones_incomplete(project: Project) -> None:
    write(project)
    project.run(until="grading")
    assert why(project)["selecting.good"] == "the last run did not complete it"
    assert why(project)["grading.g"] == "its result is in the store"
