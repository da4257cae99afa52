"""What was done is not done again, and what is damaged or edited never gives wrong results."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Project

from alpaqual import api
from alpaqual.api import Run
from alpaqual.errors import StoreError
from alpaqual.execution.folder import MARKER
from alpaqual.execution.plan_sql import plan_sql
from alpaqual.store.store import Store

pytestmark = pytest.mark.slow

ROWS = [
    {"instruction": f"q{i}", "input": "", "output": f"a{i} in Python" if i % 5 == 0 else f"a{i}", "s": i % 6}
    for i in range(60)
]
RECIPE = """\
version: 1
name: trial
sources:
  - path: data.jsonl
rules:
  - {id: long_enough, description: why, column: output, check: {str_length: {min: 3}}, warn: 0, fail: 50%}
categories:
  - {category: coding, description: code, keywords: [Python]}
graders:
  score: {column: s}
  table: {table: scores.csv, key: instruction, score: points}
datasets:
  quality: {threshold: {score: 4}, quotas: {coding: {min_keep_rate: 0.8, floor: 1}}}
  both: {threshold: {score: 2, table: 1}}
  few: {from: quality, sample: 5, seed: 3}
expect:
  - {dataset: quality, rows: {min: 1}}
"""
STAGES = {
    "loading",
    "checking",
    "categorising",
    "grading.score",
    "grading.table",
    "selecting.quality",
    "selecting.both",
    "selecting.few",
}


def fill(project: Project) -> Project:
    project.jsonl("data.jsonl", ROWS)
    project.write("scores.csv", "instruction,points\n" + "".join(f"q{i},{i % 4}\n" for i in range(60)))
    project.write("recipe.yaml", RECIPE)
    return project


@pytest.fixture
def fresh(project: Project) -> Project:
    """A project in which nothing was done yet."""
    return fill(project)


@pytest.fixture(scope="module")
def done_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("done"))
    fill(project)
    project.run()
    return project.folder


@pytest.fixture
def built(project: Project, done_once: Path) -> Project:
    """A project whose store has every stage: what was done has no place, so it can be copied from another."""
    shutil.copytree(done_once, project.folder, dirs_exist_ok=True)
    return project


def made(run: Run) -> set[str]:
    """The stages that were done, not reused."""
    return {outcome.stage for outcome in run.outcomes if not outcome.reused}


def change(project: Project, old: str, new: str) -> None:
    text = project.recipe.read_text()
    assert text.count(old) == 1
    project.write("recipe.yaml", text.replace(old, new))


def files(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below a folder: inode, time and content."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in found}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (_, _, content) in files(folder).items()}


def contents_below(found: dict[str, bytes], folder: str) -> dict[str, bytes]:
    return {name.removeprefix(folder): content for name, content in found.items() if name.startswith(folder)}


def explained(project: Project) -> dict[str, str]:
    return {each.stage: "" if each.reused else each.why for each in api.explain(api.plan_recipe(project.recipe))}


def test_a_second_run_reuses_every_stage_and_reports_the_same(fresh: Project) -> None:
    first = fresh.run()
    assert made(first) == STAGES
    store, folder = files(fresh.folder / ".alpaqual"), contents(first.folder)
    second = fresh.run()
    assert made(second) == set()
    assert files(fresh.folder / ".alpaqual") == store
    assert contents(second.folder) == folder
    assert set(explained(fresh).values()) == {""}


def test_a_run_elsewhere_gives_the_same_bytes(fresh: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    here = fresh.run()
    other = Project(tmp_path_factory.mktemp("elsewhere"))
    for file in ("data.jsonl", "scores.csv", "recipe.yaml"):
        shutil.copy(fresh.folder / file, other.folder / file)
    done = other.command("run", "recipe.yaml")
    assert done.returncode == here.exit_code, done.stderr
    there = contents(other.folder / "runs" / "trial")
    for name, content in contents(here.folder).items():
        # Reports have the recipe's path as it was given; SQL has absolute paths.
        if name.startswith("datasets/"):
            assert there[name] == content
    strip = re.compile(rb"[^ \"]*recipe\.yaml")
    ours, theirs = ((c["results.json"]) for c in (contents(here.folder), there))
    assert strip.sub(b"recipe.yaml", ours) == strip.sub(b"recipe.yaml", theirs)


CHANGES: dict[str, tuple[str, str, set[str]]] = {
    "a threshold": ("{score: 4}", "{score: 5}", {"selecting.quality", "selecting.few"}),
    "a quota": ("min_keep_rate: 0.8", "min_keep_rate: 0.5", {"selecting.quality", "selecting.few"}),
    "a seed": ("seed: 3", "seed: 4", {"selecting.few"}),
    "a check": ("{min: 3}", "{min: 4}", {"checking"}),
    "a limit": ("fail: 50%", "fail: 0", set()),
    "a description": ("description: why", "description: because", set()),
    "a category's description": ("description: code", "description: programs", set()),
    "the name": ("name: trial", "name: another", set()),
    "an expectation": ("{min: 1}}\n", "{min: 2}}\n", set()),
    "a title": ("name: trial\n", "name: trial\ntitle: A title\n", set()),
    "memory": ("version: 1\n", "version: 1\nengine: {memory: 1GB, threads: 1}\n", set()),
    "a keyword": ("[Python]", "[Python, Java]", {"categorising", "selecting.quality", "selecting.both", "selecting.few"}),
    "a scale": ("{column: s}", "{column: s, scale: {min: 0, max: 9}}", {"grading.score", "selecting.quality", "selecting.both", "selecting.few"}),
}  # fmt: skip


@pytest.mark.parametrize("changed", CHANGES)
def test_only_stages_that_a_change_affects_run_again(built: Project, changed: str) -> None:
    built.run()
    old, new, wanted = CHANGES[changed]
    change(built, old, new)
    stale = {stage for stage, why in explained(built).items() if why}
    assert stale == made(built.run()) == wanted
    change(built, new, old)
    assert made(built.run()) == set()


def test_a_changed_limit_changes_the_verdict_without_work(built: Project) -> None:
    assert built.run().verdict == "warn"
    change(built, "fail: 50%", "fail: 1")
    run = built.run()
    assert (run.verdict, made(run)) == ("fail", set())


def test_a_moved_data_file_is_the_same_file(built: Project) -> None:
    before = built.run()
    (built.folder / "elsewhere").mkdir()
    (built.folder / "data.jsonl").rename(built.folder / "elsewhere" / "rows.jsonl")
    change(built, "path: data.jsonl", "path: elsewhere/rows.jsonl")
    after = built.run()
    assert made(after) == set()
    assert after.results["datasets"] == before.results["datasets"]


def test_a_new_modification_time_alone_reuses_the_result(built: Project) -> None:
    built.run()
    (built.folder / "data.jsonl").touch()
    assert made(built.run()) == set()


def test_an_added_row_loads_again(built: Project) -> None:
    first = built.run()
    with (built.folder / "data.jsonl").open("a") as stream:
        stream.write(json.dumps({"instruction": "new", "output": "answer", "s": 5}) + "\n")
    second = built.run()
    assert made(second) == STAGES
    assert second.results["source"]["rows"] == first.results["source"]["rows"] + 1


def test_a_change_of_the_same_size_loads_again(built: Project) -> None:
    built.run()
    path = built.folder / "data.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"q7"', b'"Q7"'))
    run = built.run()
    assert "loading" in made(run)
    assert "Q7" in run.rows(limit=None).__str__()


def test_changed_scores_grade_again(built: Project) -> None:
    built.run()
    path = built.folder / "scores.csv"
    path.write_bytes(path.read_bytes().replace(b"q9,1", b"q9,3"))
    assert made(built.run()) == {"grading.table", "selecting.both"}


def test_plan_prints_which_stages_run_and_why(fresh: Project) -> None:
    assert set(explained(fresh).values()) == {"no earlier result"}
    fresh.run()
    change(fresh, "{score: 4}", "{score: 5}")
    found = explained(fresh)
    assert found["selecting.quality"] == "changed: threshold.score 4.0 -> 5.0"
    assert found["selecting.few"] == "its inputs changed: selecting.quality"
    assert found["selecting.both"] == ""
    fresh.run()
    shutil.rmtree(fresh.folder / ".alpaqual" / "store")
    assert set(explained(fresh).values()) == {"its result is no longer in the store"}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"5", b"[" * 100_000, b"\xff", b'{"selecting.quality": null}', b'{"selecting.quality": {}}'),
        b'{"selecting.quality": {"fingerprint": "a", "settings": 5, "inputs": []}}',
    ],
)
def test_plan_does_without_a_record_that_is_damaged(fresh: Project, content: bytes) -> None:
    folder = fresh.run().folder
    (folder / "stages.json").write_bytes(content)
    change(fresh, "{score: 4}", "{score: 5}")
    assert explained(fresh)["selecting.quality"] == "no earlier result"


# Damage


def result_folder(project: Project, stage: str) -> Path:
    key = api.plan_recipe(project.recipe).stage(stage).fingerprint
    return Store(project.folder).results / key[:2] / key


def write(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


DAMAGE: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "a truncated table": ("loading", "rows.parquet", lambda p: write(p, p.read_bytes()[:-5])),
    "an emptied table": ("selecting.quality", "fates.quality.parquet", lambda p: write(p, b"")),
    "a table that is gone": ("grading.score", "grades.score.parquet", Path.unlink),
    "a dataset that is gone": ("selecting.both", "dataset.both.jsonl", Path.unlink),
    "a dataset with more in it": ("selecting.both", "dataset.both.jsonl", lambda p: write(p, p.read_bytes() + b"{}\n")),
    "a seal that is no JSON": ("loading", "seal.json", lambda p: p.write_bytes(b"\x00garbage")),
    "an empty seal": ("loading", "seal.json", lambda p: p.write_bytes(b"")),
    "half a seal": ("loading", "seal.json", lambda p: p.write_bytes(p.read_bytes()[:200])),
    "a seal of a list": ("loading", "seal.json", lambda p: p.write_bytes(b"[]")),
    "a seal of nothing": ("loading", "seal.json", lambda p: p.write_bytes(b"null")),
    "a seal without facts": ("loading", "seal.json", lambda p: p.write_bytes(b'{"files": {}}')),
    "a seal whose files are a list": ("loading", "seal.json", lambda p: p.write_bytes(b'{"files": ["rows.parquet"]}')),
    "a seal in another encoding": ("loading", "seal.json", lambda p: p.write_bytes(b"\xff\xfe")),
    "a folder as table": ("loading", "rows.parquet", lambda p: (p.unlink(), p.mkdir())),  # type: ignore[func-returns-value]
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_result_is_an_error_that_says_what_to_delete(built: Project, damage: str) -> None:
    finished = contents(built.run().folder)
    stage, file, harm = DAMAGE[damage]
    folder = result_folder(built, stage)
    harm(folder / file)
    # The second run fails as well: a result left in the run folder does not hide the damage.
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            built.run()
        assert str(caught.value).startswith(f"the stored result {folder} is damaged (")
        assert str(caught.value).endswith("delete that folder and run again")
        assert api.open_run(built.folder / "runs/trial/unfinished").verdict == "error"
        left = contents(built.folder / "runs/trial")
        assert {name: content for name, content in left.items() if name in finished and name != MARKER} == {
            name: content for name, content in finished.items() if name != MARKER
        }
    shutil.rmtree(folder)
    again = built.run()
    assert made(again) == {stage}
    assert not (again.folder / "unfinished").exists()
    assert contents(again.folder / "datasets") == contents_below(finished, "datasets/")


def test_a_folder_without_a_seal_is_not_a_result(built: Project) -> None:
    built.run()
    (result_folder(built, "loading") / "seal.json").unlink()
    with pytest.raises(StoreError, match="delete that folder"):
        built.run()


def test_a_damaged_digest_is_computed_again(built: Project) -> None:
    built.run()
    for path in (built.folder / ".alpaqual/store/digests").iterdir():
        path.write_bytes(b"\xff")
    assert made(built.run()) == set()


# The run folder shows the store's files under other names


def test_stored_files_can_be_read_only(built: Project) -> None:
    run = built.run()
    for path in [*run.folder.glob("tables/*"), *run.folder.glob("datasets/*")]:
        assert path.stat().st_mode & 0o222 == 0, path


@pytest.mark.parametrize("how", ["deleted", "replaced", "emptied"])
def test_changes_in_the_run_folder_leave_the_store_unchanged(built: Project, how: str) -> None:
    run = built.run()
    store, folder = contents(built.folder / ".alpaqual"), contents(run.folder)
    for path in [path for path in run.folder.rglob("*") if path.is_file()]:
        if path.name == MARKER and how != "deleted":
            continue  # without it the folder is not a run's: see test_run_folder.py
        content = path.read_bytes()
        path.unlink()
        if how != "deleted":
            path.write_bytes(b"" if how == "emptied" else content[::-1])
    again = built.run()
    assert made(again) == set()
    assert contents(built.folder / ".alpaqual") == store
    assert contents(again.folder) == folder


def test_a_write_through_a_hard_link_is_noticed(built: Project) -> None:
    """A user who makes a file writable can change the stored one; the store reports it."""
    run = built.run()
    path = run.folder / "datasets" / "both.jsonl"
    path.chmod(0o644)
    with path.open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(StoreError, match=r"dataset\.both\.jsonl.*delete that folder and run again"):
        built.run()


def test_later_runs_and_reports_write_through_no_hard_link(built: Project) -> None:
    run = built.run()
    before = files(built.folder / ".alpaqual")
    kept = {name: entry for name, entry in before.items() if "/digests/" not in name}
    change(built, "{score: 4}", "{score: 5}")
    built.run()
    change(built, "path: data.jsonl", "path: fewer.jsonl")
    built.jsonl("fewer.jsonl", ROWS[:30])
    built.run()
    for kind in api.format_names():
        built.command("report", run.folder, "--format", kind, "-o", run.folder / "datasets" / "both.jsonl")
    after = files(built.folder / ".alpaqual")
    assert {name: after[name] for name in kept} == kept


def test_plan_sql_pasted_into_duckdb_gives_the_same_rows_and_leaves_the_store_alone(
    built: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(built.folder)
    run = api.run("recipe.yaml")
    before = files(built.folder)
    monkeypatch.chdir(run.folder)
    text = Path("plan.sql").read_text()
    with duckdb.connect(":memory:") as database:
        for _ in range(2):
            for statement in database.extract_statements(text):
                database.execute(statement).fetchall()
        for dataset in run.results["datasets"]:
            pasted = database.sql(f'SELECT * FROM "dataset.{dataset}"').fetchall()
            stored = [tuple(row.values()) for row in run.datasets[dataset].polars().to_dicts()]
            assert pasted == stored
    assert files(built.folder) == before


def test_plan_sql_of_the_folder_is_that_of_the_plan(built: Project) -> None:
    run = built.run()
    assert (run.folder / "plan.sql").read_text() == plan_sql(api.plan_recipe(built.recipe))


def test_until_a_stage_leaves_the_rest_for_later(fresh: Project) -> None:
    done: dict[str, Any] = {}
    for until in ("loading", "checking", "categorising", "grading", "selecting"):
        run = fresh.run(until=until)
        done[until] = made(run)
        assert run.folder == fresh.folder / "runs" / "trial"
        assert run.verdict == ("incomplete" if until != "selecting" else "warn")
        assert run.exit_code == 0
    assert set.union(*done.values()) == STAGES
    assert done["grading"] == {"grading.score", "grading.table"}
    assert made(fresh.run()) == set()


def test_a_dataset_removed_from_the_recipe_is_removed_from_the_run_folder(built: Project) -> None:
    run = built.run()
    assert (run.folder / "datasets/few.jsonl").exists()
    change(built, "  few: {from: quality, sample: 5, seed: 3}\n", "")
    assert sorted(path.name for path in (built.run().folder / "datasets").iterdir()) == ["both.jsonl", "quality.jsonl"]
