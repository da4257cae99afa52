"""A first run over one's own files: messages and reports name rows as the data does, and say why rows are missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Project

import alpaqual
from alpaqual.api import Run

RECIPE = """
version: 1
name: own
sources:
  - {name: a, path: a.jsonl, fields: {id: chat_id}, max_quarantined: 100%}
  - {name: b, path: b.json, max_quarantined: 100%}
rules:
  - {id: passes, column: score, check: {in_range: {min: 0, max: 5}}, description: A score is on its scale.}
  - {id: short, turns: assistant, check: {str_length: {min: 3}}, warn: 0}
  - {id: passes_too, column: response, check: not_nullable}
graders: {own: {column: score}}
datasets: {good: {threshold: {own: 3}}}
report: {examples: 1}
"""


def chat(ident: str, answer: str, score: int | None, role: str = "assistant") -> dict[str, Any]:
    turns = [{"role": "user", "content": f"question of {ident}"}, {"role": role, "content": answer}]
    return {"chat_id": ident, "messages": turns, "score": score}


def run_of(project: Project) -> Run:
    unread = [chat(f"w{n}", "hello", 5, "wizard") for n in range(25)]
    project.jsonl(
        "a.jsonl", [*unread, chat("c-1", "ok", 4), chat("c-2", "a long answer", 2), chat("c-3", "fine", None)]
    )
    turns = [{"from": "Maschine", "value": "x"}]
    (project.folder / "b.json").write_text(json.dumps([{"conversations": turns}]), encoding="utf-8")
    (project.folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return alpaqual.run(project.folder / "recipe.yaml")


def test_messages_and_reports_name_rows_as_the_data_does(project: Project) -> None:
    run = run_of(project)
    first, second = [reason.text for reason in run.results.reasons if "quarantine" in reason.text]
    assert first.startswith(
        "25 rows of a.jsonl could not be read: in quarantine (limit 100%); the first: a.jsonl line 1: "
    )
    assert "write 'roles: {wizard: assistant}' in the source" in first
    # Twenty unread rows are quoted; those of the first source leave a place for the second.
    assert second.startswith("1 row of b.json could not be read: in quarantine (limit 100%); b.json item 1: ")
    assert "Maschine" in second
    assert [row.source for row in run.results.source.quarantine_examples] == ["a"] * 19 + ["b"]

    near = {row.own_id: row.fate for row in run.results.datasets["good"].near}
    assert near == {"c-1": "kept", "c-2": "below_threshold"}
    page, lines = alpaqual.to_html(run.report()), alpaqual.to_markdown(run.report())
    assert '<dt>id</dt><dd class="quoted" dir="auto">c-1</dd>' in page
    assert page.index(">short<") < page.index(">passes<") < page.index(">passes_too<")
    assert "| c&#45;1 | assistant turns | turn 2&#58; ok |" in lines


def test_the_command_line_says_what_a_kept_row_fails_and_how_many_rows_have_a_score(project: Project) -> None:
    run = run_of(project)
    shown = project.command("rows", run.folder, "--id", "c-1").stdout
    assert "good: kept" in shown
    assert "fails rules: short" in shown
    assert "  grader own: 2 of 3 rows scored\n" in project.command("run", project.folder / "recipe.yaml").stdout


def test_a_grader_without_a_score_says_why_and_an_id_in_quarantine_is_named(project: Project) -> None:
    run = run_of(project)
    done = project.command("rows", run.folder, "--id", "w3")
    assert done.stdout == "no rows\n"
    assert f"26 rows could not be read: see {run.folder / 'tables' / 'quarantine.parquet'}" in done.stderr
    recipe = project.write("recipe.yaml", RECIPE.replace("{column: score}}", "{column: score, scale: {max: 1}}}"))
    shown = project.command("run", recipe, "--set", "datasets.good.threshold.own=1").stdout
    assert "  grader own: 0 of 3 rows scored\n    2 unscored: " in shown
    assert "    1 unscored: no score in the column\n" in shown


def test_a_threshold_on_a_column_says_how_a_column_becomes_a_grader(project: Project) -> None:
    project.jsonl("d.jsonl", [{"instruction": "a", "output": "b", "score": 4}])
    project.ask("d.jsonl", datasets="{good: {threshold: {score: 4}}}")
    hint = "the recipe has no graders (for scores that the data has: 'graders: {NAME: {column: COLUMN}}')"
    assert hint in project.command("check", project.folder / "recipe.yaml").stderr


def test_a_split_without_a_row_and_one_that_is_not_there(project: Project) -> None:
    project.jsonl("d.jsonl", [{"instruction": "a", "output": "b"}])
    project.ask("d.jsonl", datasets="{full: {split: {train: 0.999999, test: 0.000001}}}")
    run = project.run()
    assert run.results.reasons[0].text == (
        "dataset full: no row is in the split test, of 1 row: give it a larger share, or 'split' another seed"
    )
    with pytest.raises(KeyError, match="no split 'tests'; there are: train, test"):
        run.datasets["full"].split("tests")
