"""The package as Python code uses it: one verb for each step, one for the whole way, and results as frames."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.errors
import polars as pl
import pyarrow as pa
import pytest
from conftest import Project

import alpaqual
from alpaqual.api import Rows
from alpaqual.errors import RecipeError, StageError
from alpaqual.execution.inspection import inspect_sources
from alpaqual.store.store import Store

RECIPE = """\
version: 1
name: trial
title: "A <script>alert(1)</script> title"
sources:
  - path: data.jsonl
rules:
  - {id: long_enough, column: output, check: {str_length: {min: 3}}, warn: 0, fail: 50%}
categories:
  - {category: coding, keywords: [Python]}
graders:
  score: {column: s}
datasets:
  quality: {threshold: {score: 4}}
  full: {}
  none: {threshold: {score: 5}, quotas: {coding: {max_rows: 0}}}
"""
ROWS = [{"instruction": f"q{i}", "output": "Python <script>" if i % 6 == 5 else f"a{i}", "s": i % 6} for i in range(30)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> alpaqual.Run:
    project = Project(tmp_path_factory.mktemp("finished"))
    project.jsonl("data.jsonl", ROWS)
    project.write("recipe.yaml", RECIPE)
    return alpaqual.run(project.recipe)


@pytest.mark.parametrize("kind", ["dataset", "category", "rule", "fate"])
def test_rows_of_a_name_that_the_run_lacks_are_refused(finished: alpaqual.Run, kind: str) -> None:
    with pytest.raises(RecipeError, match=f"the run has no {kind} 'nope'; it has: "):
        finished.rows(**{kind: "nope"})


def test_rows_are_all_of_them_unless_a_limit_is_asked_for(finished: alpaqual.Run) -> None:
    assert len(finished.rows()) == 90
    assert len(finished.rows(dataset="full")) == 30
    assert finished.rows(limit=7) == finished.rows()[:7]
    assert finished.rows(limit=0) == []


MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a stage": ({"until": "grade"}, ["--until", "grade"]),
    "a value": ({"sets": ["datasets.quality.threshold.score=9"]}, ["--set", "datasets.quality.threshold.score=9"]),
    "no KEY=VALUE": ({"sets": ["x"]}, ["--set", "x"]),
    "one text for a list": ({"sets": "nmae=x"}, ["--set", "nmae=x"]),
    "a cost": ({"max_cost": -1}, ["--max-cost", "-1"]),
    "a path": ({"recipe": "other.yaml"}, []),
    "a folder that is a file": ({"out": "data.jsonl"}, ["--out", "data.jsonl"]),
    "a link to nothing": ({"out": "link"}, ["--out", "link"]),
    "a folder of others": ({"out": "taken"}, ["--out", "taken"]),
    "a run of a newer version": ({"out": "newer"}, ["--out", "newer"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_the_message_of_the_command_line(
    project: Project, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    project.jsonl("data.jsonl", ROWS)
    project.write("recipe.yaml", RECIPE)
    project.write("taken/mine.txt", "x")
    project.write("newer/.alpaqual-run.json", '{"version": 2, "files": []}')
    (project.folder / "link").symlink_to("nowhere")
    options, words = MISTAKES[mistake]
    recipe = options.get("recipe", "recipe.yaml")
    with pytest.raises(RecipeError) as error:
        alpaqual.run(**{"recipe": recipe, **options})
    done = project.command("run", recipe, *words)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, str(error.value))


def test_the_marker_of_a_newer_version_is_refused_by_every_command(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.write("recipe.yaml", RECIPE)
    run = project.run(until="checking")
    (run.folder / ".alpaqual-run.json").write_text('{"version": 2, "files": []}')
    for words in (["run", "recipe.yaml"], ["plan", "recipe.yaml"], ["report", run.folder], ["rows", run.folder]):
        done = project.command(*words)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert "newer alpaqual (run folder version 2, this one reads 1): install that version" in done.stderr


def test_overrides_of_a_parsed_recipe_are_refused(project: Project) -> None:
    project.write("recipe.yaml", RECIPE)
    recipe = alpaqual.read_recipe(project.recipe)
    with pytest.raises(RecipeError, match="give the path of the recipe"):
        alpaqual.run(recipe, sets=["name=x"])


def test_a_shipped_recipe_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert alpaqual.read_recipe("quickstart.yaml").name == "quickstart"


def test_a_run_is_a_line_and_a_notebook_links_its_report(
    finished: alpaqual.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.folder.parent.parent)
    assert repr(finished) == (
        f"<Run trial: fail; of 30 rows: quality 10, full 30, none 0; {finished.folder / 'report.html'}>"
    )
    assert 'href="runs/trial/report.html"' in finished._repr_html_()


def test_a_kind_of_stage_that_is_unknown_is_refused(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.write("recipe.yaml", RECIPE)
    with pytest.raises(RecipeError, match="there is no kind of stage 'grade'; there are: loading, checking, "):
        alpaqual.run(project.recipe, until="grade")
    assert not (project.folder / "runs").exists()
    # Before the folder is opened: this one would be refused too.
    plan, store = alpaqual.plan_recipe(project.recipe), Store(project.folder)
    with pytest.raises(RecipeError, match="there is no kind of stage 'grade'"):
        alpaqual.execute(plan, store, project.folder, until="grade")


def test_datasets_as_frames_of_every_kind(finished: alpaqual.Run) -> None:
    quality = finished.datasets["quality"]
    assert list(finished.datasets) == ["quality", "full", "none"]
    frame = quality.polars()
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns == ["id", "instruction", "input", "output"]
    assert sorted(frame["instruction"]) == sorted(row["instruction"] for row in ROWS if row["s"] >= 4)
    assert isinstance(quality.pandas(), pd.DataFrame)
    assert isinstance(quality.arrow(), pa.Table)
    assert quality.pandas().to_dict("records") == quality.arrow().to_pylist() == frame.to_dicts()
    assert len(quality) == 10


def test_a_table_is_a_line_and_its_first_rows_in_a_notebook(finished: alpaqual.Run, project: Project) -> None:
    quality, path = finished.datasets["quality"], finished.folder / "datasets/quality.jsonl"
    assert repr(quality) == f"<Rows {path}: 10 rows of id, instruction, input, output>"
    assert repr(finished.datasets["none"]) == f"<Rows {path.with_name('none.jsonl')}: 0 rows>"
    assert repr(finished.fates).endswith("fates.parquet: 90 rows of dataset, n, id, fate, reasons>")
    assert [row["id"] for row in quality.first(3)] == quality.polars()["id"].to_list()[:3]
    assert finished.fates.first(2) == finished.fates.polars().head(2).to_dicts()
    tags = _Tags()
    tags.feed(shown := quality._repr_html_())
    assert tags.tags.count("tr") == 6 and "… and 5 more" in shown
    assert not {"script", "style", "link", "iframe", "img"} & set(tags.tags) and set(tags.attributes) <= {"style"}
    hostile = Rows(project.jsonl("d.jsonl", [{"id": "1", "messages": [{"content": "<script>" + "x" * 99 + "\u202e"}]}]))
    assert "&lt;script&gt;xx" in (shown := hostile._repr_html_()) and "x" * 80 not in shown
    hostile.path.unlink()
    assert repr(hostile) == f"<Rows {hostile.path}: it is no longer there>" and "no longer" in hostile._repr_html_()


def test_an_empty_dataset_is_an_empty_frame(finished: alpaqual.Run) -> None:
    none = finished.datasets["none"]
    assert (len(none), none.polars().height, len(none.pandas()), none.arrow().num_rows) == (0, 0, 0, 0)
    assert none.polars().columns == ["id", "instruction", "input", "output"]


@pytest.mark.parametrize(
    ("table", "columns", "rows"),
    [
        ("fates", {"dataset", "id", "fate", "reasons"}, 90),
        ("grades", {"grader", "id", "score", "reason"}, 30),
        ("failures", {"rule", "id", "column", "value"}, 10),
    ],
)
def test_tables_as_frames_of_every_kind(finished: alpaqual.Run, table: str, columns: set[str], rows: int) -> None:
    found: Rows = getattr(finished, table)
    assert columns <= set(found.polars().columns)
    expected = sum(len(row["output"]) < 3 for row in ROWS) if table == "failures" else rows
    assert found.polars().height == len(found.pandas()) == found.arrow().num_rows == len(found) == expected


def test_the_steps_one_by_one(project: Project, finished: alpaqual.Run) -> None:
    project.jsonl("data.jsonl", ROWS)
    recipe = alpaqual.parse_recipe(RECIPE, str(project.recipe))
    assert isinstance(recipe, alpaqual.Recipe)
    store = Store(project.folder)
    plan = alpaqual.compile_plan(recipe, *inspect_sources(recipe, store))
    assert isinstance(plan, alpaqual.Plan)
    run = alpaqual.execute(plan, store)
    report = alpaqual.build_report(run)
    assert isinstance(report, alpaqual.Report)
    assert alpaqual.to_markdown(report) == (run.folder / "report.md").read_text(encoding="utf-8")
    assert alpaqual.to_html(report) == (run.folder / "report.html").read_text(encoding="utf-8")
    assert alpaqual.to_junit(report) == (run.folder / "junit.xml").read_text(encoding="utf-8")
    assert run.results["datasets"] == finished.results["datasets"]
    assert run.verdict == finished.verdict == "fail"
    assert run.exit_code == 1


def test_planning_takes_text_path_or_recipe(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.write("recipe.yaml", RECIPE)
    plans = [alpaqual.plan_recipe(what) for what in (project.recipe, str(project.recipe), alpaqual.read_recipe(project.recipe))]  # fmt: skip
    assert len({stage.fingerprint for plan in plans for stage in plan.stages if stage.name == "selecting.none"}) == 1
    changed = alpaqual.plan_recipe(project.recipe, sets=["datasets.quality.threshold.score=5"])
    assert changed.stage("selecting.quality").fingerprint != plans[0].stage("selecting.quality").fingerprint


def test_a_run_calls_its_listener_at_the_start_and_end_of_each_stage(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.write("recipe.yaml", RECIPE)
    heard: list[tuple[str, str]] = []
    run = alpaqual.run(project.recipe, out=project.folder / "out", listen=lambda stage, event, _: heard.append((stage, event)))  # fmt: skip
    names = [stage.name for stage in alpaqual.plan_recipe(project.recipe).stages]
    assert heard == [(name, event) for name in names for event in ("start", "done")]
    assert run.folder == project.folder / "out"
    heard.clear()
    alpaqual.run(project.recipe, listen=lambda stage, event, _: heard.append((stage, event)))
    assert heard == [(name, "reused") for name in names]


def test_a_finished_run_is_opened_again(finished: alpaqual.Run) -> None:
    again = alpaqual.open_run(finished.folder)
    assert again.results == finished.results
    assert again.report().results == finished.report().results
    assert again.rows(dataset="quality", fate="kept", limit=3) == finished.rows(dataset="quality", fate="kept", limit=3)
    with pytest.raises(RecipeError, match="holds no finished run"):
        alpaqual.open_run(finished.folder / "tables")


def test_rows_of_a_run_that_stopped_early(project: Project) -> None:
    project.jsonl("data.jsonl", ROWS)
    project.write("recipe.yaml", RECIPE)
    run = alpaqual.run(project.recipe, until="checking")
    with pytest.raises(StageError, match="holds no finished run"):
        run.rows()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_a_notebook_shows_a_run_without_scripts(finished: alpaqual.Run) -> None:
    shown = finished._repr_html_()
    tags = _Tags()
    tags.feed(shown)
    assert "FAIL" in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert {"table", "strong"} <= set(tags.tags)
    assert not {"script", "style", "link", "iframe", "img"} & set(tags.tags)
    assert set(tags.attributes) <= {"style", "href", "target"}


def test_a_pandera_schema_of_rules(project: Project) -> None:
    rules = project.write("rules.yaml", "- {id: short, column: output, check: {str_length: {max: 2}}}\n")
    schema = alpaqual.pandera_schema(rules)
    schema.validate(pl.DataFrame({"output": ["a", "bb"]}))
    with pytest.raises(pandera.errors.SchemaError, match="short"):
        schema.validate(pl.DataFrame({"output": ["ccc"]}))


# What is visible, and what is loaded


def test_all_is_what_is_visible() -> None:
    assert dir(alpaqual) == sorted(alpaqual.__all__)
    for name in alpaqual.__all__:
        assert getattr(alpaqual, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        alpaqual.nothing  # noqa: B018
    names: dict[str, object] = {}
    exec("from alpaqual import *", names)
    assert set(alpaqual.__all__) <= set(names)


def python(code: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, encoding="utf-8", cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = {"duckdb", "polars", "pandera", "sqlglot", "pandas", "pyarrow", "openai", "anthropic", "torch", "transformers", "jsonschema", "rich"}  # fmt: skip
_LOADED = "; import sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import alpaqual", set()),
        ("import alpaqual.api", set()),
        ("import alpaqual.cli.main", set()),
        ("from alpaqual.cli.main import cli; cli.main(['schema'], standalone_mode=False)", set()),
        ("from alpaqual.cli.main import cli; cli.main(['check', 'recipe.yaml', '-q'], standalone_mode=False)", set()),
        ("from alpaqual.cli.main import cli; cli.main(['check', 'where.yaml', '-q'], standalone_mode=False)", {"sqlglot"}),
    ],
)  # fmt: skip
def test_heavy_packages_are_imported_only_when_used(project: Project, code: str, allowed: set[str]) -> None:
    project.write("recipe.yaml", RECIPE)
    project.write("where.yaml", RECIPE.replace("column: output, check: {str_length: {min: 3}}", "where: length(output) > 3"))  # fmt: skip
    modules = set(json.loads(python(code + _LOADED, project.folder).splitlines()[-1]))
    assert "alpaqual" in modules
    assert modules & HEAVY <= allowed
