"""The command line: what it prints, how it exits, and that no mistake of a person shows a traceback.

Each exit code is seen once in a process of its own, and so is what only a process has: a pipe, an encoding.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml
from conftest import Project

COMMANDS = (
    "init",
    "check",
    "compare-graders",
    "import-judgements",
    "plan",
    "push",
    "run",
    "report",
    "rows",
    "replies",
    "schema",
)
RECIPE = """\
version: 1
name: trial
title: A trial
sources:
  - path: data.jsonl
rules:
  - {id: long_enough, description: why, column: output, check: {str_length: {min: 3}}, warn: 0, fail: 50%, drop: true}
categories:
  - {category: coding, keywords: [Python]}
graders:
  score: {column: s}
datasets:
  quality: {threshold: {score: 4}, quotas: {coding: {min_rows: 5}}}
  few: {from: quality, sample: 5, seed: 3}
expect:
  - {dataset: quality, rows: {min: 10}}
"""
ROWS = [
    {
        "instruction": f"=q{i} é",
        "input": "",
        "output": f"a{i} in Python" if i % 5 == 0 else f"a{i}",
        "s": None if i == 59 else i % 6,
    }
    for i in range(60)
]


def build(project: Project) -> Project:
    project.jsonl("data.jsonl", ROWS)
    project.write("recipe.yaml", RECIPE)
    return project


@pytest.fixture
def small(project: Project) -> Project:
    return build(project)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose recipe ran: read only."""
    project = build(Project(tmp_path_factory.mktemp("finished")))
    project.run()
    return project


def said(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What it printed, where it exited so and nothing looks like a bug."""
    assert done.returncode == code, (done.stdout[-2000:], done.stderr[-2000:])
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text
        assert "Exception ignored" not in text
    if code == 0:
        assert "rror" not in done.stderr
    return done.stdout


# Help


@pytest.mark.parametrize("words", [(), *((command,) for command in COMMANDS)])
def test_help(project: Project, words: tuple[str, ...]) -> None:
    text = said(project.command(*words, "--help"), 0)
    assert text.startswith("Usage: ")
    if not words:
        assert [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines()] == sorted(COMMANDS)


@pytest.mark.slow
def test_version_and_mistyped_commands(project: Project) -> None:
    assert re.fullmatch(r"alpaqual, version \d+\.\d+\.\d+\n", said(project.command("--version", process=True), 0))
    mistyped = project.command("rum")
    assert said(mistyped, 2) == ""
    assert "No such command 'rum'" in mistyped.stderr


# Exit codes


@pytest.mark.slow
def test_exit_0_and_the_run_folder(small: Project) -> None:
    done = small.command("run", "recipe.yaml", process=True)
    text = said(done, 0)
    assert text.startswith("WARN: trial\n")
    assert "quality: " in text
    assert done.stderr.splitlines()[0].startswith("loading: done in ")
    run = small.folder / "runs" / "trial"
    for file in ("results.json", "report.md", "report.html", "junit.xml", "plan.sql", "datasets/quality.jsonl"):
        assert (run / file).stat().st_size > 0
    assert {path.name for path in run.glob("tables/*")} == {
        f"{table}.parquet" for table in ("rows", "quarantine", "failures", "row_categories", "grades", "fates")
    }
    again = small.command("run", "recipe.yaml")
    assert said(again, 0) == text
    assert all(line.endswith(": reused") for line in again.stderr.splitlines())


@pytest.mark.slow
def test_exit_1_when_the_data_is_not_good(small: Project) -> None:
    small.write("recipe.yaml", RECIPE.replace("rows: {min: 10}", "rows: {min: 100}"))
    done = small.command("run", "recipe.yaml", "-q", process=True)
    text = said(done, 1)
    assert text.startswith("FAIL: trial\n")
    assert re.search(r"  fail: recipe\.yaml:16: expected dataset quality: rows at least 100; found \d+\n", text)
    assert (small.folder / "runs/trial/report.md").exists()
    for ending, first in {"html": "<!DOCTYPE", "json": "{", "xml": "<?xml", "md": "<!--"}.items():
        small.command("report", "runs/trial", "-o", f"report.{ending}")
        assert (small.folder / f"report.{ending}").read_text().startswith(first)
    assert said(small.command("report", "runs/trial", "--format", "github"), 1).startswith("::error file=recipe.yaml")


@pytest.mark.slow
def test_exit_2_when_the_recipe_is_wrong(small: Project) -> None:
    small.write("recipe.yaml", RECIPE.replace("threshold:", "treshold:").replace("few: {from: quality", "few: {from: qualty"))  # fmt: skip
    for command in ("check", "plan", "run"):
        done = small.command(command, "recipe.yaml", process=command == "run")
        assert said(done, 2) == ""
        assert done.stderr.splitlines() == [
            "recipe.yaml:13:13: unknown key 'treshold', did you mean 'threshold'?",
            "recipe.yaml:14:15: nothing defines the dataset 'qualty', did you mean 'quality'?",
        ]
    assert not (small.folder / "runs").exists()


@pytest.mark.slow
def test_exit_3_when_the_machine_lacks_something(small: Project) -> None:
    small.write("recipe.yaml", RECIPE.replace("{column: s}", "{model: openai/gpt-4o-mini}"))
    done = small.command("run", "recipe.yaml", process=True)
    assert said(done, 3) == ""
    assert "openai/gpt-4o-mini" in done.stderr
    small.ask("hf://datasets/someone/something/data.parquet")
    for command in ("plan", "run"):
        done = small.command(command, "recipe.yaml", "--offline")
        assert said(done, 3) == ""
        assert "--offline forbids it" in done.stderr


@pytest.mark.slow
def test_exit_4_when_a_stage_fails_and_what_was_done_is_kept(small: Project) -> None:
    small.write("scores.csv", "instruction,points\n=q1 é,1\n=q1 é,2\n")
    table = "{table: scores.csv, key: instruction, score: points}"
    small.write("recipe.yaml", RECIPE.replace("{column: s}", table))
    done = small.command("run", "recipe.yaml", process=True)
    assert said(done, 4) == ""
    assert "scores.csv: imported scores are not valid: key: field_uniqueness (2)" in done.stderr
    assert json.loads((small.folder / "runs/trial/results.json").read_text())["verdict"] == "error"
    said(small.command("report", "runs/trial"), 4)
    small.write("scores.csv", "instruction,points\n=q4 é,4\n")
    done = small.command("run", "recipe.yaml")
    said(done, 1)
    assert "loading: reused" in done.stderr


# Mistakes of a person


MISTAKES: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no recipe": (("run",), 2, "Missing argument 'RECIPE'"),
    "a recipe that is not there": (("check", "nowhere.yaml"), 2, "nowhere.yaml: cannot be read: No such file"),
    "a folder as recipe": (("run", "."), 2, "cannot be read: Is a directory"),
    "a run that is not there": (("report", "runs/nothing"), 2, "holds no finished run"),
    "rows of no run": (("rows", "."), 2, "holds no finished run"),
    "no KEY=VALUE": (("run", "recipe.yaml", "--set", "x"), 2, "--set x: write KEY=VALUE"),
    "an unknown key": (("run", "recipe.yaml", "--set", "nmae=x"), 2, "nmae"),
    "a value off its scale": (("run", "recipe.yaml", "--set", "datasets.quality.threshold.score=9"), 2, "is off the scale 0 to 5"),
    "an unknown stage": (("run", "recipe.yaml", "--until", "evaluating"), 2, "there is no kind of stage 'evaluating'; there are: loading, "),
    "an unknown format": (("report", "runs/trial", "--format", "pdf"), 2, "'pdf' is not one of"),
    "an unknown dataset": (("rows", "runs/trial", "--dataset", "qualty"), 2, "no dataset 'qualty'; it has: quality, few"),
    "an unknown category": (("rows", "runs/trial", "--category", "x"), 2, "no category 'x'; it has: coding"),
    "an unknown rule": (("rows", "runs/trial", "--rule", "x"), 2, "no rule 'x'; it has: long_enough"),
    "an unknown fate": (("rows", "runs/trial", "--fate", "lost"), 2, "the run has no fate 'lost'; it has: kept, below_threshold, "),
    "a limit below nothing": (("rows", "runs/trial", "--limit", "-1"), 2, "limit: -1 is below 0"),
    "a cost below nothing": (("run", "recipe.yaml", "--max-cost", "-1"), 2, "--max-cost: -1 is no amount of money"),
    "an unknown schema": (("schema", "verdict"), 2, "'verdict' is not one of"),
    "a report below a file": (("report", "runs/trial", "-o", "recipe.yaml/x.md"), 4, "recipe.yaml"),
    "a run below a file": (("run", "recipe.yaml", "--out", "recipe.yaml/x"), 4, "recipe.yaml"),
    "a project below a file": (("init", "recipe.yaml/x"), 4, "recipe.yaml"),
    "a name that is none": (("init", "new", "--name", "../x"), 2, "a name is made of letters"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_sentence_and_an_exit_code(finished: Project, mistake: str) -> None:
    words, code, sentence = MISTAKES[mistake]
    done = finished.command(*words)
    assert said(done, code) == ""
    assert sentence in done.stderr


def test_a_store_that_is_a_file(small: Project) -> None:
    small.write(".alpaqual", "")
    done = small.command("run", "recipe.yaml")
    assert said(done, 4) == ""
    assert ".alpaqual" in done.stderr


def test_results_that_cannot_be_read(small: Project) -> None:
    for content in (b"{", b"\xff", b"[]", b'{"version": 99}'):
        small.write("runs/trial/results.json", content)
        done = small.command("report", "runs/trial")
        assert said(done, 2) == ""
        assert "results.json" in done.stderr


# check and plan


def test_check_reads_no_data(small: Project) -> None:
    (small.folder / "data.jsonl").unlink()
    text = said(small.command("check", "recipe.yaml"), 0)
    assert text == "recipe.yaml: good (1 source, 1 rule, 1 category, 1 grader, 2 datasets)\n"
    assert said(small.command("check", "recipe.yaml", "-q"), 0) == ""
    assert json.loads(said(small.command("check", "recipe.yaml", "--json"), 0)) == {"problems": []}


def test_check_for_programs_and_for_github(small: Project) -> None:
    small.write("recipe.yaml", RECIPE.replace("[Python]", "[]").replace("rows: {min: 10}", '"::error\\n%": 1'))
    problems = json.loads(said(small.command("check", "recipe.yaml", "--json"), 2))["problems"]
    assert [(p["file"], p["line"]) for p in problems] == [("recipe.yaml", 9), ("recipe.yaml", 16)]
    lines = said(small.command("check", "recipe.yaml", "--format", "github"), 2).splitlines()
    assert [re.match(r"::error file=recipe\.yaml,line=(\d+),col=\d+::", line)[1] for line in lines] == ["9", "16"]  # type: ignore[index]


def test_plan_before_and_after_a_run(small: Project) -> None:
    plan = json.loads(said(small.command("plan", "recipe.yaml", "--json"), 0))
    assert [stage["why"] for stage in plan["stages"]] == ["no earlier result"] * 6
    assert not (small.folder / "runs").exists()
    said(small.command("run", "recipe.yaml", "-q"), 0)
    text = said(small.command("plan", "recipe.yaml", "--set", "datasets.quality.threshold.score=5"), 0)
    stages, _, sql = text.partition("\n\n")
    assert [line.split()[:2] for line in stages.splitlines()] == [
        ["reuse", "loading"],
        ["reuse", "checking"],
        ["reuse", "categorising"],
        ["reuse", "grading.score"],
        ["do", "selecting.quality"],
        ["do", "selecting.few"],
    ]
    assert "changed: threshold.score 4.0 -> 5.0" in stages
    assert sql.startswith("-- Every statement of this run")
    again = json.loads(said(small.command("plan", "recipe.yaml", "--json"), 0))
    assert all(stage["reused"] for stage in again["stages"])
    assert [stage["fingerprint"] for stage in again["stages"]] == [stage["fingerprint"] for stage in plan["stages"]]


# run


def test_run_for_programs_prints_the_results_alone(small: Project) -> None:
    done = small.command("run", "recipe.yaml", "--json", "--out", "here/and/there")
    results = json.loads(said(done, 0))
    assert done.stderr == ""
    assert results == json.loads((small.folder / "here/and/there/results.json").read_text())
    assert not (small.folder / "runs").exists()


def test_a_quiet_run_that_passes_prints_nothing(small: Project) -> None:
    done = small.command("run", "recipe.yaml", "-q")
    assert (said(done, 0), done.stderr) == ("", "")


def test_set_changes_the_recipe_and_until_stops_early(small: Project) -> None:
    done = small.command("run", "recipe.yaml", "--until", "categorising", "--set", "name=early", "--json")
    results = json.loads(said(done, 0))
    assert results["verdict"] == "incomplete"
    assert results["recipe"]["name"] == "early"
    assert results["categories"]["coding"]["rows"] == 12
    assert results["datasets"] == {}
    assert "INCOMPLETE" in (small.folder / "runs/early/report.md").read_text()
    schema = json.loads(said(small.command("schema", "results"), 0))
    jsonschema.validate(results, schema)


def test_a_shipped_recipe_runs_from_an_empty_folder(project: Project) -> None:
    done = project.command("run", "quickstart.yaml", "--out", "out")
    said(done, 0)
    assert (project.folder / "out/report.html").exists()


# report


def test_every_format_of_a_report(finished: Project) -> None:
    run = finished.folder / "runs" / "trial"
    text = {
        kind: said(finished.command("report", "runs/trial", "--format", kind), 0)
        for kind in ("md", "html", "json", "junit", "github")
    }
    assert text["md"] == (run / "report.md").read_text(encoding="utf-8")
    assert text["html"] == (run / "report.html").read_text(encoding="utf-8")
    assert text["junit"] == (run / "junit.xml").read_text(encoding="utf-8")
    assert json.loads(text["json"]) == json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert ElementTree.fromstring(text["junit"]).tag == "testsuites"
    assert all(line.startswith(("::warning ", "alpaqual: WARN")) for line in text["github"].splitlines())


def test_a_report_into_a_file(finished: Project, tmp_path: Path) -> None:
    assert said(finished.command("report", "runs/trial", "-o", tmp_path / "deep" / "r.md"), 0) == ""
    assert (tmp_path / "deep/r.md").read_bytes() == (finished.folder / "runs/trial/report.md").read_bytes()


# rows


def rows(project: Project, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(said(project.command("rows", "runs/trial", "--format", "json", *words), 0))
    return found


def test_rows_as_json_by_every_filter(finished: Project) -> None:
    every = rows(finished, "--limit", "0")
    assert len(every) == 120
    assert len(rows(finished)) == 20
    chosen = rows(finished, "--dataset", "quality", "--limit", "0")
    assert [row for row in every if row["dataset"] == "quality"] == chosen
    kept = rows(finished, "--dataset", "quality", "--fate", "kept", "--limit", "0")
    assert kept == [row for row in chosen if row["fate"] == "kept"]
    assert all(row["scores"]["score"] >= 4 or row["reasons"] for row in kept)
    coding = rows(finished, "--dataset", "quality", "--category", "coding", "--limit", "0")
    assert coding == [row for row in chosen if "coding" in (row["categories"] or ())]
    assert len(coding) == 12
    failing = rows(finished, "--dataset", "few", "--rule", "long_enough", "--limit", "0")
    assert {row["fate"] for row in failing} == {"removed_by_rule"}
    assert len(failing) == sum(len(row["output"]) < 3 for row in ROWS)
    one = rows(finished, "--id", kept[0]["id"][:9])
    assert {row["id"] for row in one} == {kept[0]["id"]}
    (unscored,) = rows(finished, "--dataset", "quality", "--fate", "unscored")
    assert unscored["reasons"] == ["score unscored: no score in the column"]
    assert rows(finished, "--id", "zzz") == []


def test_rows_as_csv_that_no_spreadsheet_runs(finished: Project) -> None:
    text = said(finished.command("rows", "runs/trial", "--format", "csv", "--dataset", "few", "--limit", "0"), 0)
    found = list(csv.DictReader(io.StringIO(text)))
    assert len(found) == 60
    assert all(row["instruction"].startswith("'=q") for row in found)
    assert said(finished.command("rows", "runs/trial", "--format", "csv", "--id", "zzz"), 0) == ""


def test_rows_as_cards(finished: Project) -> None:
    text = said(finished.command("rows", "runs/trial", "--dataset", "few", "--fate", "kept"), 0)
    assert len(re.findall(r"^row [0-9a-f]{16}\n  few: kept", text, re.MULTILINE)) == 5
    assert "=q" in text
    assert said(finished.command("rows", "runs/trial", "--id", "zzz"), 0) == "no rows\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["table", "csv", "json"])
def test_a_closed_output_pipe_is_not_an_error(finished: Project, kind: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "alpaqual", "rows", "runs/trial", "--limit", "0", "--format", kind],
        cwd=finished.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    # Closed before a byte is written: the writer meets the broken pipe however much the pipe would hold.
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), errors) == (141, b"")


@pytest.mark.slow
def test_every_output_is_utf_8(finished: Project) -> None:
    done = finished.command("rows", "runs/trial", "--format", "json", env={"PYTHONIOENCODING": "ascii"}, process=True)
    assert "é" in json.loads(said(done, 0))[0]["instruction"]


# schema


@pytest.mark.parametrize("kind", ["recipe", "rules", "category", "results"])
def test_schemas_are_valid_draft_07(finished: Project, kind: str) -> None:
    schema = json.loads(said(finished.command("schema", kind), 0))
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema)
    examples = {
        "recipe": yaml.safe_load(RECIPE),
        "rules": yaml.safe_load(RECIPE)["rules"],
        "category": yaml.safe_load(RECIPE)["categories"],
        "results": json.loads((finished.folder / "runs/trial/results.json").read_text()),
    }
    jsonschema.validate(examples[kind], schema, jsonschema.Draft7Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"verdict": "perhaps"}, schema, jsonschema.Draft7Validator)


def test_results_of_a_failed_stage_fit_the_schema_too(small: Project) -> None:
    schema = json.loads(said(small.command("schema", "results"), 0))
    small.write("scores.csv", "instruction,points\n=q1 é,1\n=q1 é,2\n")
    small.write("recipe.yaml", RECIPE.replace("{column: s}", "{table: scores.csv, key: instruction, score: points}"))
    said(small.command("run", "recipe.yaml"), 4)
    jsonschema.validate(json.loads((small.folder / "runs/trial/results.json").read_text()), schema)


# init


@pytest.mark.slow
def test_init_starts_a_project_that_checks_and_runs(project: Project) -> None:
    text = said(project.command("init", "my data!"), 0)
    folder = project.folder / "my data!"
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == {
        "recipe.yaml",
        "rules/project.yaml",
        ".github/workflows/alpaqual.yml",
        ".alpaqual/.gitattributes",
        ".alpaqual/.gitignore",
        ".alpaqual/schema/recipe.json",
        ".alpaqual/schema/rules.json",
        ".alpaqual/schema/category.json",
    }
    assert text.count("written  ") == len(written)
    said(project.command("check", "recipe.yaml", cwd=folder), 0)
    missing = project.command("run", "recipe.yaml", cwd=folder)
    assert said(missing, 2) == ""
    assert "no file matches data/train.jsonl" in missing.stderr
    Project(folder).jsonl("data/train.jsonl", ROWS)
    assert said(project.command("run", "recipe.yaml", cwd=folder), 0).startswith("PASS: my-data\n")
    workflow = yaml.safe_load((folder / ".github/workflows/alpaqual.yml").read_text())
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow) == {"name", True, "permissions", "jobs"}
    steps = workflow["jobs"]["alpaqual"]["steps"]
    assert any("alpaqual run recipe.yaml --offline" in step.get("run", "") for step in steps)
    assert any("runs/my-data/report.md" in step.get("run", "") for step in steps)
    for step in steps:
        if "run" in step:
            checked = subprocess.run(["bash", "-n"], input=step["run"], encoding="utf-8", check=False)
            assert checked.returncode == 0


def test_a_second_init_overwrites_nothing(project: Project) -> None:
    said(project.command("init", "--name", "mine", "--source", "data: [odd].jsonl"), 0)
    assert yaml.safe_load((project.folder / "recipe.yaml").read_text())["sources"] == [{"path": "data: [odd].jsonl"}]
    project.write("recipe.yaml", "mine alone")
    (project.folder / "rules/project.yaml").unlink()
    before = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    text = said(project.command("init"), 0)
    assert text.count("kept     ") == 7
    assert text.count("written  ") == 1
    assert all(path.read_bytes() == content for path, content in before.items())


# What comes from data forges nothing in the log of a workflow


FORGED = "x\n::error file=recipe.yaml::forged\r##[error]forged"


def test_names_from_data_start_no_new_line(project: Project) -> None:
    project.jsonl("data.jsonl", [{"instruction": f"q{i}", "output": "a", FORGED: "a", "s": i % 2, "kind": FORGED if i % 2 == 0 else "y"} for i in range(100)])  # fmt: skip
    project.ask("data.jsonl", "categories: [{column: kind}]\ngraders: {g: {column: s}}", datasets="{d: {threshold: {g: 1}}}")  # fmt: skip
    done = project.command("run", "recipe.yaml")
    assert "filtered hardest: x ::error" in said(done, 0)
    report = said(project.command("report", "runs/trial", "--format", "github"), 0)
    table = said(project.command("rows", "runs/trial"), 0)
    project.ask("data.jsonl", "graders: {g: {column: gone}}")
    refused = project.command("run", "recipe.yaml")
    assert said(refused, 2) == ""
    assert "there are: " in refused.stderr
    for text in (done.stdout, done.stderr, report, table, refused.stderr):
        assert not [line for line in re.split(r"[\r\n]", text) if line.lstrip().startswith(("::error", "##["))]
