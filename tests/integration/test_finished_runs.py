"""A finished run stays as it is until the next is finished, whatever happens to that one."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project

from alpaqual.api import open_run
from alpaqual.errors import AlpaqualError, RecipeError, StageError
from alpaqual.execution import swap
from alpaqual.execution.folder import MARKER
from alpaqual.store.store import is_alive

pytestmark = pytest.mark.slow

RECIPE = """\
version: 1
name: trial
sources:
  - path: data.jsonl
rules:
  - {id: long_enough, column: output, check: {str_length: {min: 3}}, warn: 0, fail: 90%}
categories:
  - {category: coding, keywords: [Python]}
graders:
  score: {column: s}
datasets:
  quality: {threshold: {score: 4}}
  few: {from: quality, sample: 5, seed: 3}
expect:
  - {rows: {min: 10}}
  - {dataset: quality, rows: {min: 1}}
  - {grader: score, unscored: {max: 0}}
  - {rule: long_enough, failing_rows: {max: 100}}
  - {category: coding, rows: {min: 1}}
"""
ROWS = [{"instruction": f"q{i}", "output": f"a{i} in Python" if i % 5 == 0 else f"a{i}", "s": i % 6} for i in range(60)]


@pytest.fixture
def ran(project: Project) -> Project:
    """A project whose recipe ran."""
    project.jsonl("data.jsonl", ROWS)
    project.write("recipe.yaml", RECIPE)
    project.run()
    return project


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a finished run: all but the marker and what an unfinished run left."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes() for name, path in files.items() if not name.startswith(("unfinished/", MARKER, "."))
    }


def change(project: Project, old: str = "{score: 4}", new: str = "{score: 5}") -> None:
    text = project.recipe.read_text()
    assert text.count(old) == 1
    project.write("recipe.yaml", text.replace(old, new))


def fail(project: Project) -> None:
    project.write("scores.csv", "instruction,points\nq1,1\nq1,2\n")
    change(project, "{column: s}", "{table: scores.csv, key: instruction, score: points}")
    with pytest.raises(StageError, match="not valid") as caught:
        project.run()
    assert caught.value.__notes__ == [
        f"the finished run in {project.folder}/runs/trial stays as it is; the report of this one is in {project.folder}/runs/trial/unfinished"
    ]
    attempt = open_run(project.folder / "runs/trial/unfinished")
    assert attempt.verdict == "error"
    assert "imported scores are not valid" in (attempt.folder / "report.md").read_text()


def stop_early(project: Project) -> None:
    change(project)
    run = project.run(until="grading")
    assert run.folder == project.folder / "runs/trial/unfinished"
    assert (run.verdict, run.exit_code) == ("incomplete", 0)
    assert open_run(run.folder).results == run.results
    assert len(run.grades) == 60


def be_wrong(project: Project) -> None:
    change(project, "{column: s}", "{column: gone}")
    with pytest.raises(RecipeError, match="gone"):
        project.run()


def be_interrupted(project: Project) -> None:
    change(project)

    def interrupt(stage: str, event: str, seconds: float) -> None:
        if (stage, event) == ("selecting.quality", "start"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project.run(listen=interrupt)
    assert not list((project.folder / "runs/trial").glob(".next-*"))


@pytest.mark.parametrize("ending", [fail, stop_early, be_wrong, be_interrupted])
def test_a_run_that_does_not_finish_changes_no_file_of_a_finished_one(
    ran: Project, ending: Callable[[Project], None]
) -> None:
    before = contents(ran.folder / "runs/trial")
    ending(ran)
    assert contents(ran.folder / "runs/trial") == before
    assert open_run(ran.folder / "runs/trial").verdict == "warn"
    ran.write("recipe.yaml", RECIPE)
    change(ran)
    again = ran.run()
    assert again.folder == ran.folder / "runs/trial"
    assert contents(again.folder)["datasets/quality.jsonl"] != before["datasets/quality.jsonl"]
    assert not (again.folder / "unfinished").exists()


@pytest.mark.parametrize(
    ("until", "judged"),
    [("loading", 1), ("checking", 2), ("categorising", 3), ("grading", 4), ("assessing", 4), ("selecting", 5)],
)
def test_until_judges_what_it_reached(ran: Project, until: str, judged: int) -> None:
    run = ran.run(out=ran.folder / "out", until=until)
    assert len(run.results.expectations) == judged
    assert all(each.state == "pass" for each in run.results.expectations)
    assert run.verdict == ("warn" if until == "selecting" else "incomplete")
    command = ran.command("run", "recipe.yaml", "--until", until, "--out", "out")
    assert command.returncode == 0
    assert command.stdout.startswith(f"{run.verdict.upper()}: trial\n")
    for kind in ("md", "html", "json", "junit", "github"):
        shown = ran.command("report", "out", "--format", kind)
        assert shown.returncode == 0
        assert ("stopped after" in shown.stdout) == (until != "selecting")


def test_until_fails_for_what_it_reached(ran: Project) -> None:
    change(ran, "{rows: {min: 10}}", "{rows: {min: 1000}}")
    run = ran.run(until="loading")
    assert (run.verdict, run.exit_code) == ("fail", 1)
    assert run.folder == ran.folder / "runs/trial/unfinished"


class Killed(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("changed", ["fewer datasets", "another threshold"])
def test_killed_while_files_move_leaves_the_old_run_or_the_new(
    ran: Project, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """The process ends before each step of the swap; the next one that opens the folder finishes it."""
    folder = ran.folder / "runs/trial"
    old = open_run(folder).results
    shutil.copytree(folder, ran.folder / "old")
    if changed == "fewer datasets":
        change(ran, "  few: {from: quality, sample: 5, seed: 3}\n", "")
    else:
        change(ran)
    new = ran.run(out=ran.folder / "new")
    wanted = {False: contents(ran.folder / "old"), True: contents(new.folder)}
    wanted[True].pop("plan.sql", None)
    opened: list[bool] = []
    for steps in itertools.count():
        shutil.rmtree(folder)
        shutil.copytree(ran.folder / "old", folder)
        if not _killed_after(ran, monkeypatch, steps):
            break
        monkeypatch.setattr(swap, "is_alive", lambda process: False)
        run = open_run(folder)
        monkeypatch.setattr(swap, "is_alive", is_alive)
        is_new = run.results != old
        assert run.results == (new.results if is_new else old)
        found = contents(folder)
        found.pop("plan.sql", None) if is_new else None
        assert found == wanted[is_new]
        assert not list(folder.glob(".next-*"))
        opened.append(is_new)
    assert opened == sorted(opened)
    assert set(opened) == {False, True}


def _killed_after(project: Project, monkeypatch: pytest.MonkeyPatch, steps: int) -> bool:
    """Run, and end before the step of this number that changes a file of the run folder. Returns False where there are fewer."""
    left = itertools.count(steps, -1)
    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink", "rmdir"):
            real = getattr(Path, name)

            def step(path: Path, *words: object, _real: Callable[..., object] = real, **more: object) -> object:
                if "runs/trial" in str(path) and ".alpaqual/" not in str(path) and next(left) <= 0:
                    raise Killed
                return _real(path, *words, **more)

            patch.setattr(Path, name, step)
        patch.setattr(shutil, "rmtree", lambda *words, **more: None)
        try:
            project.run()
        except Killed:
            return True
    return False


def test_a_swap_from_elsewhere_touches_no_file_outside(ran: Project) -> None:
    (ran.folder / "mine.txt").write_text("mine")
    folder = ran.folder / "runs/trial"
    hostile = swap.new_swap_folder(folder)
    hostile.mkdir()
    swap.Swap(below="", files=[], stale=["../../mine.txt"], renamed=[]).write(hostile)
    with pytest.raises(AlpaqualError, match="is no list of files of a run: delete"):
        open_run(folder)
    assert (ran.folder / "mine.txt").read_text() == "mine"
