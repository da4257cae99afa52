"""Grader health in whole runs: measured once, compared with the recipe's limits on each run, and reported with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Project
from jsonschema import Draft7Validator
from scipy.stats import spearmanr

from alpaqual import api
from alpaqual.api import Run
from alpaqual.plan.assessing import AssessStage
from alpaqual.results.results import results_schema

ROWS: list[dict[str, Any]] = [
    {
        "instruction": f"q{i}",
        "output": "x" * (1 + i * 7 % 11),
        "mine": i % 5,
        "human": None if i % 8 == 0 else i * 3 % 5,
    }
    for i in range(60)
]
SCALE = "scale: {min: 0, max: 5, step: 1}"


def graded(project: Project, health: str, **settings: Any) -> Run:
    project.jsonl("d.jsonl", ROWS)
    graders = f"graders:\n  human: {{column: human, {SCALE}}}\n  mine: {{column: mine, {SCALE}, health: {health}}}"
    project.ask("d.jsonl", graders, datasets="{good: {threshold: {mine: 3}}}")
    return project.run(**settings)


def test_health_is_measured_limited_and_reported(project: Project) -> None:
    run = graded(
        project,
        "{most_frequent: {warn: 10%, fail: 20%}, length: {fail: 0.0001}, agreement: {with: human, kappa: {warn: 0.9}}}",
    )
    grader = run.results["graders"]["mine"]
    checks = {check["check"]: check for check in grader["health"]}
    assert {name: check["state"] for name, check in checks.items()} == {
        "most_frequent": "warn",
        "length": "fail",
        "agreement.spearman": "pass",
        "agreement.kappa": "warn",
    }
    lengths = spearmanr([row["mine"] for row in ROWS], [len(row["output"]) for row in ROWS]).statistic
    assert checks["length"]["value"] == pytest.approx(lengths, abs=1e-6)
    both = [(row["mine"], row["human"]) for row in ROWS if row["human"] is not None]
    assert checks["agreement.spearman"]["value"] == pytest.approx(
        spearmanr(*zip(*both, strict=True)).statistic, abs=1e-6
    )
    assert (grader["agreement"]["rows"], grader["agreement"]["this_only"]) == (52, 8)
    assert sum(cell["rows"] for cell in grader["agreement"]["confusion"]) == 52
    assert run.results["graders"]["human"]["health"] == []
    assert run.verdict == "fail"
    found = [(reason["state"], reason["place"].rpartition("/")[2]) for reason in run.results["reasons"]]
    assert found == [("fail", "recipe.yaml:7"), ("warn", "recipe.yaml:7"), ("warn", "recipe.yaml:7")]
    assert "(limit: beyond ±0.0001)" in run.results["reasons"][0]["text"]
    Draft7Validator(results_schema()).validate(json.loads((run.folder / "results.json").read_text(encoding="utf-8")))
    for report in ("report.md", "report.html"):
        assert "quadratic weighted kappa with human" in (run.folder / report).read_text(encoding="utf-8")


def test_a_changed_limit_reuses_the_measurements(project: Project) -> None:
    first = graded(project, "{length: {warn: 0.9}}")
    again = graded(project, "{length: {warn: 0.0001}}")
    assert [outcome.stage for outcome in first.outcomes if not outcome.reused][2:] == [
        "grading.mine",
        "assessing.mine",
        "selecting.good",
    ]
    assert all(outcome.reused for outcome in again.outcomes)
    assert (first.verdict, again.verdict) == ("pass", "warn")


def test_without_health_a_column_is_not_assessed(project: Project) -> None:
    project.jsonl("d.jsonl", ROWS)
    project.ask("d.jsonl", f"graders: {{mine: {{column: mine, {SCALE}}}}}")
    assert not api.plan_recipe(project.recipe).of(AssessStage)


def test_until_grading_reports_only_finished_stages(project: Project) -> None:
    run = graded(project, "{length: {warn: 0.0001}}", until="grading")
    assert [check["check"] for check in run.results["graders"]["mine"]["health"]] == ["most_frequent"]
    assessed = graded(project, "{length: {warn: 0.0001}}", until="assessing")
    assert [check["check"] for check in assessed.results["graders"]["mine"]["health"]] == ["most_frequent", "length"]
    assert assessed.results["datasets"] == {}
