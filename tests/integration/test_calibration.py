"""Calibrated graders in whole runs: raw scores beside mapped ones, thresholds on people's scale, refits, and what is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from conftest import Project
from jsonschema import Draft7Validator
from scipy.stats import spearmanr

from alpaqual.api import Run
from alpaqual.errors import RecipeError, StageError
from alpaqual.execution.isotonic import fit, mapped
from alpaqual.results.results import results_schema

pytestmark = pytest.mark.slow

SCALE = "scale: {min: 0, max: 5, step: 0.5}"


def rows(count: int = 120, seed: int = 1) -> list[dict[str, Any]]:
    """Rows with a grader's score `mine` that is high, and people's score `human` of the same row."""
    chance = random.Random(seed)
    found = []
    for index in range(count):
        human = chance.randint(2, 10) / 2
        mine = min(5.0, max(0.0, round((3 + human * 0.4 + chance.gauss(0, 0.3)) * 2) / 2))
        found.append({"instruction": f"q{index}", "output": f"a{index}", "mine": mine, "human": human})
    return found


def people(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"instruction": row["instruction"], "output": row["output"], "score": row["human"]} for row in data]


def ask(project: Project, *, threshold: float = 3.5, more: str = "", calibrate: str = "people.jsonl") -> None:
    grader = f"{{column: mine, {SCALE}, calibrate: {{file: {calibrate}}}}}"
    project.ask(
        "d.jsonl", f"graders: {{mine: {grader}{more}}}", datasets=f"{{good: {{threshold: {{mine: {threshold}}}}}}}"
    )


def calibrated(project: Project, **settings: Any) -> Run:
    data = rows()
    project.jsonl("d.jsonl", data)
    project.jsonl("people.jsonl", people(data[:60]))
    ask(project, **settings)
    return project.run()


def test_thresholds_apply_to_the_calibrated_score(project: Project) -> None:
    run = calibrated(project)
    data = rows()
    knots = fit((row["mine"], row["human"]) for row in data[:60])
    found = run.results.graders["mine"].calibration
    assert found is not None
    assert (found.file, found.rows, found.unscored, found.folds) == ("people.jsonl", 60, 0, 10)
    assert [(knot.raw, knot.score) for knot in found.knots] == knots
    assert found.fitted_error < found.raw_error and found.held_out_error < found.raw_error
    wanted = {row["instruction"] for row in data if mapped(knots, row["mine"]) >= 3.5}
    kept = run.rows(dataset="good", fate="kept", limit=None)
    assert {row["instruction"] for row in kept} == wanted and wanted
    by_text = {row["instruction"]: row for row in data}
    for row in run.rows(limit=None):
        own = by_text[row["instruction"]]["mine"]
        assert row["raw_scores"] == {"mine": own}
        assert row["scores"] == {"mine": mapped(knots, own)}
    (position,) = found.thresholds
    lowest = min(by_text[text]["mine"] for text in wanted)
    assert (position.dataset, position.threshold) == ("good", 3.5)
    assert position.raw is not None and position.raw <= lowest
    assert mapped(knots, position.raw) >= 3.5 > mapped(knots, position.raw - 0.5)
    results = json.loads((run.folder / "results.json").read_text(encoding="utf-8"))
    Draft7Validator(results_schema()).validate(results)
    assert results["graders"]["mine"]["scale"]["step"] is None
    markdown, page = ((run.folder / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    assert f"rows that mine gave {position.raw:g} or more" in markdown
    assert f"rows that mine gave {position.raw:g} or more" in page
    said = project.command("rows", run.folder, "--limit", "1").stdout
    assert "(raw " in said


def test_raw_scores_are_columns_of_grades_and_other_graders_have_none(project: Project) -> None:
    data = rows()
    project.jsonl("d.jsonl", data)
    project.jsonl("people.jsonl", people(data[:60]))
    ask(project, more=f", other: {{column: human, {SCALE}}}")
    run = project.run()
    found = run.grades.polars().sort("grader", "n")
    assert found.columns == ["grader", "n", "id", "score", "reason", "reply", "raw"]
    other = found.filter(found["grader"] == "other")
    assert other["raw"].null_count() == len(data) and other["score"].to_list() == [row["human"] for row in data]
    mine = found.filter(found["grader"] == "mine")
    assert mine["raw"].to_list() == [row["mine"] for row in data]


def test_a_changed_file_or_changed_scores_refit_and_nothing_else_does(project: Project) -> None:
    calibrated(project)
    again = calibrated(project)
    assert all(outcome.reused for outcome in again.outcomes)
    data = rows()
    project.jsonl("people.jsonl", people(data[:50]))
    fewer = project.run()
    ran = [outcome.stage for outcome in fewer.outcomes if not outcome.reused]
    assert ran == ["grading.mine", "selecting.good"]
    assert fewer.results.graders["mine"].calibration.rows == 50  # type: ignore[union-attr]
    data[0]["mine"] = 0.0
    project.jsonl("d.jsonl", data)
    changed = project.run()
    assert "grading.mine" in [outcome.stage for outcome in changed.outcomes if not outcome.reused]
    assert changed.results.graders["mine"].calibration != fewer.results.graders["mine"].calibration
    ask(project, threshold=3)
    other = project.run()
    assert [outcome.stage for outcome in other.outcomes if not outcome.reused] == ["selecting.good"]


def test_without_the_key_a_stage_keeps_its_fingerprint_and_columns(project: Project) -> None:
    project.jsonl("d.jsonl", rows())
    project.ask("d.jsonl", f"graders: {{mine: {{column: mine, {SCALE}}}}}", datasets="{good: {threshold: {mine: 3.5}}}")
    run = project.run()
    assert run.grades.polars().columns == ["grader", "n", "id", "score", "reason", "reply"]
    assert "raw_scores" not in run.rows(limit=1)[0]
    assert run.results.graders["mine"].calibration is None


def test_several_scores_of_a_row_count_once_each_and_share_a_part(project: Project) -> None:
    data = rows()
    project.jsonl("d.jsonl", data)
    twice = people(data[:30])
    project.jsonl("people.jsonl", [*twice, *({**row, "score": min(5.0, row["score"] + 0.5)} for row in twice)])
    ask(project)
    found = project.run().results.graders["mine"].calibration
    assert found is not None and (found.rows, found.folds) == (60, 10)


def test_rows_that_the_data_lacks_are_left_out_and_said(project: Project) -> None:
    data = rows()
    project.jsonl("d.jsonl", data)
    project.jsonl("people.jsonl", [*people(data[:60]), {"instruction": "elsewhere", "response": "r", "score": 1}])
    project.write(
        "people.csv",
        "instruction,response,score\n"
        + "".join(f"q{i},a{i},{row['human']}\n" for i, row in enumerate(data[:60]))
        + "elsewhere,r,1\n",
    )
    ask(project, calibrate="people.csv")
    run = project.run()
    found = run.results.graders["mine"].calibration
    assert found is not None and (found.rows, found.unscored) == (60, 1)
    (warning,) = [reason for reason in run.results.reasons if "calibration" in reason.text]
    assert (warning.state, warning.text) == (
        "warn",
        "grader mine: the calibration by people.csv leaves out 1 of 61 scores of people: their rows have no raw score",
    )
    assert warning.place.endswith("recipe.yaml:5")


def test_a_threshold_that_no_score_reaches_is_named(project: Project) -> None:
    data = rows()
    project.jsonl("d.jsonl", data)
    project.jsonl("people.jsonl", [{**row, "score": row["score"] / 2} for row in people(data[:60])])
    ask(project, threshold=4.5)
    run = project.run()
    assert run.results.graders["mine"].calibration.thresholds[0].raw is None  # type: ignore[union-attr]
    assert any("maps no score to 4.5 or above, the threshold of good" in reason.text for reason in run.results.reasons)
    assert run.verdict == "fail"


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([3.0] * 20, "every row of people.jsonl has the score 3: there is nothing to fit a map to"),
        ([1.0, 2.0, 3.0], "people.jsonl has 3 different rows: a calibration needs 10 at least"),
        ([9.0] * 20, "needs an instruction, a response and a score from 0 to 5"),
    ],
)
def test_people_who_cannot_be_followed_are_refused(project: Project, scores: list[float], said: str) -> None:
    data = rows()
    project.jsonl("d.jsonl", data)
    project.jsonl("people.jsonl", [{**row, "score": score} for row, score in zip(people(data), scores, strict=False)])
    ask(project)
    with pytest.raises(RecipeError) as refused:
        project.run()
    assert said in str(refused.value) and "recipe.yaml:5" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: {**row, "mine": 4.5}, "it gave each of the 60 rows the score 4.5"),
        (
            lambda row: {**row, "mine": 5 - row["human"]},
            "its scores and people's are unrelated, or go in opposite directions",
        ),
        (
            lambda row: {**row, "instruction": f"other {row['instruction']}"},
            "0 of 60 rows of people.jsonl have a score of grader mine",
        ),
    ],
)
def test_scores_that_give_no_map_stop_the_run(project: Project, change: Any, said: str) -> None:
    data = rows()
    project.jsonl("people.jsonl", people(data[:60]))
    project.jsonl("d.jsonl", [change(row) for row in data])
    ask(project)
    with pytest.raises(StageError) as stopped:
        project.run()
    assert said in str(stopped.value)


def test_a_missing_file_is_a_problem_of_the_recipe(project: Project) -> None:
    project.jsonl("d.jsonl", rows(12))
    ask(project)
    found = project.command("plan", project.recipe)
    assert found.returncode == 2 and "there is no file people.jsonl" in found.stderr


def test_few_scores_warn(project: Project) -> None:
    data = rows()
    project.jsonl("d.jsonl", data)
    project.jsonl("people.jsonl", people(data[:20]))
    ask(project, threshold=2)
    run = project.run()
    assert any(
        "was fitted on 20 scores of people; with fewer than 50 it follows chance" in each.text
        for each in run.results.reasons
    )


def test_golden_rows_of_a_grader_without_a_model_are_those_in_the_data(project: Project) -> None:
    data = rows()
    data[3]["mine"] = None
    project.jsonl("d.jsonl", data)
    elsewhere = {"instruction": "elsewhere", "output": "r", "score": 1}
    project.jsonl("people.jsonl", [*people(data[:60]), elsewhere])
    golden = "health: {golden: {file: people.jsonl, within: 0.5, fail: 10%}}"
    graders = f"mine: {{column: mine, {SCALE}, {golden}}}, same: {{column: mine, {SCALE}, {golden}, calibrate: {{file: people.jsonl}}}}"
    project.ask("d.jsonl", f"graders: {{{graders}}}", datasets="{good: {threshold: {mine: 4}}}")
    run = project.run()
    found, calibrated = (run.results.graders[name].golden for name in ("mine", "same"))
    assert found is not None and (found.rows, found.scored, found.left_out) == (60, 59, 1)
    both = [(row["human"], row["mine"]) for row in data[:60] if row["mine"] is not None]
    assert found.spearman == pytest.approx(spearmanr(*zip(*both, strict=True)).statistic, abs=1e-6)
    assert found.wrong == 1 + sum(abs(human - mine) > 0.5 for human, mine in both)
    # Golden rows measure the grader's own scores, calibrated or not.
    assert calibrated == found
    (check,) = [each for each in run.results.graders["mine"].health if each.check == "golden"]
    assert (check.state, check.value) == ("fail", pytest.approx(found.wrong / 60, abs=1e-6))
    assert check.text.endswith("; not in the data: 1 row")
    assert run.verdict == "fail"
    assert all(outcome.reused for outcome in project.run().outcomes)
    project.jsonl("people.jsonl", [elsewhere])
    project.ask(
        "d.jsonl", f"graders: {{mine: {{column: mine, {SCALE}, {golden}}}}}", datasets="{good: {threshold: {mine: 4}}}"
    )
    nothing = project.run().results.graders["mine"]
    assert nothing.golden is None
    assert any("no row with a known score is in the data" in each.text for each in nothing.health)
