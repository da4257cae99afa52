"""Every report says what made it, and the command in it gives the result again."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import subprocess
from pathlib import Path

import duckdb
import pytest
from conftest import Project

from alpaqual.api import format_names
from alpaqual.execution.provenance import find_commit

ROWS = [{"instruction": f"q{i}", "output": f"answer {i}", "s": i % 6} for i in range(30)]
SETS = ("datasets.quality.threshold.score=5", "title=It's `a` <title>")


@pytest.fixture
def tracked(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in a git repository, with one commit."""
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "a@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    project.jsonl("data.jsonl", ROWS)
    project.ask(more="graders: {score: {column: s}}", datasets="{quality: {threshold: {score: 4}}}")
    git(project, "init", "-q")
    git(project, "add", "recipe.yaml")
    git(project, "commit", "-q", "-m", "first")
    project.write(".gitignore", "data.jsonl\n")
    git(project, "add", ".gitignore")
    git(project, "commit", "-q", "-m", "second")
    return project


def git(project: Project, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=project.folder, check=True, capture_output=True, encoding="utf-8"
    ).stdout.strip()


def test_every_report_says_what_made_it(tracked: Project) -> None:
    run = tracked.run(sets=SETS)
    results, facts = run.results, run.results.provenance
    assert facts is not None
    assert facts.commit is not None
    assert (facts.commit.sha, facts.commit.changed) == (git(tracked, "rev-parse", "HEAD"), False)
    assert results.recipe.overrides == list(SETS)
    assert facts.python == platform.python_version()
    assert facts.duckdb == duckdb.__version__
    digest = hashlib.sha256((tracked.folder / "data.jsonl").read_bytes()).hexdigest()
    assert facts.sources[0].sha256 == [digest]
    assert shlex.split(facts.command) == ["alpaqual", "run", str(tracked.recipe), "--set", SETS[0], "--set", SETS[1]]
    for kind in format_names():
        text = tracked.command("report", run.folder, "--format", kind).stdout
        short = kind == "md"
        for value in (facts.commit.sha, digest, results.recipe.sha256):
            assert (value[:12] if short else value) in text, (kind, value)
        for value in (facts.alpaqual, facts.python, facts.duckdb, str(tracked.recipe), "threshold.score=5"):
            assert value in text.replace("&#46;", "."), (kind, value)


def test_the_command_gives_the_result_again(tracked: Project) -> None:
    run = tracked.run(sets=SETS)
    assert run.results.provenance is not None
    words = shlex.split(run.results.provenance.command)
    before = (run.folder / "results.json").read_bytes()
    (run.folder / "results.json").unlink()
    assert tracked.command(*words[1:]).returncode == run.exit_code
    assert (run.folder / "results.json").read_bytes() == before


@pytest.mark.parametrize("how", ["edited", "added", "staged", "out"])
def test_a_changed_tree_is_said(tracked: Project, how: str) -> None:
    first = tracked.run()
    if how == "edited":
        tracked.write(".gitignore", "data.jsonl\n#\n")
    elif how == "out":
        tracked.run(out=tracked.folder / "mine")
    else:
        tracked.write("rules/mine.yaml", "[]\n")
        git(tracked, "add", "rules/mine.yaml") if how == "staged" else None
    again = tracked.run(out=tracked.folder / "mine")
    assert first.results.provenance is not None
    assert again.results.provenance is not None
    assert first.results.provenance.commit is not None
    assert again.results.provenance.commit is not None
    assert not first.results.provenance.commit.changed
    assert again.results.provenance.commit.changed == (how != "out")
    assert ("with changes" in (again.folder / "report.md").read_text()) == (how != "out")


def test_without_git_there_is_no_commit(tracked: Project, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_commit(tracked.folder, tracked.folder / "runs") is not None
    monkeypatch.setenv("PATH", "")
    assert find_commit(tracked.folder, tracked.folder / "runs") is None
    run = tracked.run()
    assert json.loads((run.folder / "results.json").read_text())["provenance"]["commit"] is None


def test_a_repository_above_the_project_is_another(tracked: Project) -> None:
    inner = tracked.folder / "inner"
    (inner / ".git").mkdir(parents=True)
    assert find_commit(inner, inner / "runs") is None


def test_a_repository_runs_no_program_of_its_settings(tracked: Project, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    script = tracked.write("monitor.sh", f"#!/bin/sh\ntouch {shlex.quote(str(mark))}\n")
    script.chmod(0o755)
    git(tracked, "config", "core.fsmonitor", str(script))
    assert find_commit(tracked.folder, tracked.folder / "runs") is not None
    assert not mark.exists()
