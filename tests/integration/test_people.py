"""Golden rows in whole runs: what is measured against people's scores is in results.json and in the reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from conftest import Project
from jsonschema import Draft7Validator
from loopback import Server

from alpaqual.errors import StageError
from alpaqual.results.results import results_schema

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_pauses")]

SCALE = "scale: {min: 0, max: 5, step: 0.5}"


def kinds() -> dict[str, Any]:
    """Replies of this score, by its text."""
    return {
        f"says {score / 2:g}": {
            "status": 200,
            "body": {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "gpt-4o-mini",
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": f"{score / 2:g}\nBecause."},
                    }
                ],
                "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105},
            },
        }
        for score in range(11)
    }


def scoring(server: Server, scores: Mapping[str, float]) -> None:
    """Let the server give these scores to prompts that hold these texts."""
    server.restore(kinds=kinds(), rows={text: f"says {score:g}" for text, score in scores.items()})


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    yield running
    running.restore()


def test_golden_rows_are_compared_with_people(project: Project, server: Server) -> None:
    known = [1.0, 2.0, 2.0, 3.5, 4.0, 5.0]
    given = [2.0, 2.0, 3.0, 4.0, 4.5, 4.5]
    project.jsonl(
        "golden.jsonl",
        [{"instruction": f"<known {i}>", "response": "r", "score": score} for i, score in enumerate(known)]
        + [{"instruction": "<known prose>", "response": "r", "score": 2.0}],
    )
    project.jsonl("d.jsonl", [{"instruction": f"<row {i}>", "output": "r"} for i in range(12)])
    scoring(server, {f"<known {i}>": score for i, score in enumerate(given)})
    server.settings(rows={**{f"<known {i}>": f"says {score:g}" for i, score in enumerate(given)}, "prose>": "prose"})
    grader = f"{{model: openai/gpt-4o-mini, base_url: '{server.openai}', {SCALE}, health: {{golden: {{file: golden.jsonl}}}}}}"
    project.ask("d.jsonl", f"graders: {{g: {grader}}}", datasets="{good: {threshold: {g: 1}}}")
    run = project.run()
    golden = run.results.graders["g"].golden
    assert golden is not None
    assert (golden.file, golden.rows, golden.scored, golden.wrong, golden.within) == ("golden.jsonl", 7, 6, 3, 0.5)
    assert golden.spearman == pytest.approx(0.940403, abs=1e-6)
    assert golden.kappa is not None and 0.8 < golden.kappa < 0.9
    assert golden.bias == pytest.approx(2.5 / 6, abs=1e-6)
    assert [(each.level, each.rows, each.scored, each.bias) for each in golden.levels] == [
        (1, 1, 1, 1),
        (2, 3, 2, 0.5),
        (3.5, 1, 1, 0.5),
        (4, 1, 1, 0.5),
        (5, 1, 1, -0.5),
    ]
    assert {(cell.other, cell.score): cell.rows for cell in golden.confusion} == {
        pair: 1 for pair in zip(known, given, strict=True)
    }
    found = json.loads((run.folder / "results.json").read_text(encoding="utf-8"))
    Draft7Validator(results_schema()).validate(found)
    assert found["graders"]["g"]["golden"]["levels"][0] == {
        "level": 1.0,
        "rows": 1,
        "scored": 1,
        "mean": 2.0,
        "bias": 1.0,
    }
    assert "Spearman's rank correlation 0.94" in (run.folder / "report.md").read_text(encoding="utf-8")
    assert "Scores by people" in (run.folder / "report.html").read_text(encoding="utf-8")
    again = project.run()
    assert all(outcome.reused for outcome in again.outcomes)
    assert again.results.graders["g"].golden == golden


def people_and_rows(project: Project) -> dict[str, float]:
    """Files of rows and of people's scores; returns what the model says, half a point to two points above people."""
    project.jsonl("d.jsonl", [{"instruction": f"<row {i}>", "output": "r"} for i in range(22)])
    known = [{"instruction": f"<known {i}>", "response": "r", "score": i % 6 / 2} for i in range(24)]
    project.jsonl("people.jsonl", known)
    said = {f"<known {i}>": 2.5 + i % 6 / 2 for i in range(24)}
    return said | {f"<row {i}>": i % 11 / 2 for i in range(22)}


def test_a_model_is_calibrated_by_rows_that_are_not_in_the_data(project: Project, server: Server) -> None:
    scoring(server, people_and_rows(project))
    people = "calibrate: {file: people.jsonl}, health: {golden: {file: people.jsonl}}"
    grader = f"{{model: openai/gpt-4o-mini, base_url: '{server.openai}', {SCALE}, {people}}}"
    project.ask("d.jsonl", f"graders: {{g: {grader}}}", datasets="{good: {threshold: {g: 1.5}}}")
    planned = json.loads(project.command("plan", project.recipe, "--json").stdout)
    assert planned["graders"][0]["calls"] == 46
    run = project.run()
    found = run.results.graders["g"]
    assert (found.calls_made, found.scored) == (46, 22)
    assert found.calibration is not None
    assert [(knot.raw, knot.score) for knot in found.calibration.knots] == [(2.5 + k / 2, k / 2) for k in range(6)]
    # Golden rows measure the model itself, also where the calibration was fitted on them.
    assert found.golden is not None and found.golden.bias == 2.5
    assert found.calibration.held_out_error == 0
    for row in run.rows(limit=None):
        raw = row["raw_scores"]["g"]
        assert row["scores"]["g"] == max(0.0, raw - 2.5)
        assert (row["fate"] == "kept") == (raw >= 4)
    server.reset()
    project.jsonl(
        "people.jsonl", [{"instruction": f"<known {i}>", "response": "r", "score": i % 6 / 4} for i in range(24)]
    )
    again = project.run().results.graders["g"]
    assert again.calibration is not None and again.calibration.knots[-1].score == 1.25
    assert server.stats()["requests"] == 0


def test_rows_that_a_cascade_takes_over_stay_as_they_are(project: Project, server: Server) -> None:
    scoring(server, people_and_rows(project))
    project.jsonl("d.jsonl", [{"instruction": f"<row {i}>", "output": "r", "first": i % 11 / 2} for i in range(22)])
    grader = (
        f"{{model: openai/gpt-4o-mini, base_url: '{server.openai}', {SCALE}, calibrate: {{file: people.jsonl}}, "
        "cascade: {first: cheap, threshold: 2, band: 0.5}}"
    )
    graders = f"graders: {{cheap: {{column: first, {SCALE}}}, g: {grader}}}"
    project.ask("d.jsonl", graders, datasets="{good: {threshold: {g: 0}}}")
    run = project.run()
    for row in run.rows(limit=None):
        first = row["scores"]["cheap"]
        asked = 1.5 <= first <= 2.5
        assert (row["raw_scores"] or {}) == ({"g": first} if asked else {})
        assert row["scores"]["g"] == (0 if asked else first)


def test_a_model_that_says_one_thing_is_stopped_before_the_rows(project: Project, server: Server) -> None:
    scoring(server, dict.fromkeys(people_and_rows(project), 4.5))
    grader = f"{{model: openai/gpt-4o-mini, base_url: '{server.openai}', {SCALE}, calibrate: {{file: people.jsonl}}}}"
    project.ask("d.jsonl", f"graders: {{g: {grader}}}", datasets="{good: {threshold: {g: 1}}}")
    with pytest.raises(StageError, match=r"it gave each of the 24 rows the score 4\.5"):
        project.run()
    assert server.stats()["requests"] == 24


def test_each_of_several_scores_is_compared_with_people_and_with_the_other(project: Project, server: Server) -> None:
    server.restore()
    known = [
        {"instruction": f"<known {i}>", "response": "r", "accuracy": i % 6, "helpfulness": 5 - i % 6} for i in range(12)
    ]
    project.jsonl("golden.jsonl", known)
    project.jsonl("d.jsonl", [{"instruction": f"<row {i}>", "output": "r"} for i in range(20)])
    scores = f"scores: {{accuracy: {{{SCALE}}}, helpfulness: {{{SCALE}}}}}, health: {{golden: {{file: golden.jsonl}}}}"
    grader = f"{{model: openai/gpt-4o-mini, base_url: '{server.openai}', {scores}}}"
    project.ask("d.jsonl", f"graders: {{g: {grader}}}", datasets="{good: {threshold: {g.accuracy: 2}}}")
    run = project.run()
    for name in ("g.accuracy", "g.helpfulness"):
        golden = run.results.graders[name].golden
        assert golden is not None and (golden.rows, golden.scored) == (12, 12)
        assert sum(cell.rows for cell in golden.confusion) == 12
        assert [each.level for each in golden.levels] == [0, 1, 2, 3, 4, 5]
    assert run.results.graders["g"].golden is None
    found = json.loads(project.command("compare-graders", run.folder, "--format", "json").stdout)
    assert (found["first"]["grader"], found["second"]["grader"], found["rows"]) == ("g.accuracy", "g.helpfulness", 20)
    assert found["first"]["calls"] == found["second"]["calls"] == 32
    assert (found["second"]["threshold"], found["second"]["threshold_from"]) == (2, "the same share of the scale")
