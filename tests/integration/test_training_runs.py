"""`alpaqual run` with a training stage: jobs written, started, reused, moved aside, handed over, and failing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Project

pytest.importorskip("torch", reason="needs the extra 'train'")
from shared import made_once
from training import TINY, rows, write_tokenizer
from training.forking import start_jobs_forked

import alpaqual
from alpaqual.api import open_run
from alpaqual.errors import MachineError, RecipeError, StageError

pytestmark = pytest.mark.slow

SMALL = json.dumps(TINY)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of runs in this process are forked from one that has imported torch; in the nightly tier torchrun starts them."""
    start_jobs_forked(monkeypatch)


@pytest.fixture
def trained(project: Project, tokenizer: Path) -> Project:
    """A project of 30 rows whose recipe trains on the better half, in five steps of one process."""
    prepare(project, tokenizer)
    return project


def prepare(project: Project, tokenizer: Path) -> None:
    project.jsonl("d.jsonl", [{**row, "rating": n % 6} for n, row in enumerate(rows(30))])
    (project.folder / "words").symlink_to(tokenizer)
    write(project)


@pytest.fixture(scope="module")
def finished(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of such a project after its first run."""

    def make(folder: Path) -> None:
        folder.mkdir()
        project = Project(folder)
        prepare(project, tokenizer)
        with pytest.MonkeyPatch.context() as patch:
            start_jobs_forked(patch)
            project.run()

    return made_once(tmp_path_factory, "finished", make)


@pytest.fixture
def rerun(finished: Path, tmp_path: Path) -> Project:
    """A copy of the project that has run once."""
    shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def write(project: Project, training: str = "", datasets: str = "[good]", more: str = "", threshold: int = 3) -> None:
    project.ask(
        "d.jsonl",
        f"graders: {{rating: {{column: rating, scale: {{min: 0, max: 5, step: 1}}}}}}\n{more}\n"
        f"training: {{base_model: {{config: {SMALL}}}, tokenizer: words, datasets: {datasets}, epochs: 1, batch_size: 4, "
        f"precision: fp32, learning_rate: 0.001, max_length: 512{training}}}",
        datasets=f"{{good: {{threshold: {{rating: {threshold}}}}}, rest: {{threshold: {{rating: 0}}}}, full: {{}}}}",
    )


@pytest.mark.usefixtures("forked")
def test_a_run_trains_and_the_next_one_reuses_it(trained: Project) -> None:
    write(trained, ", price_per_gpu_hour: 2")
    seen: list[object] = []
    run = trained.run(watch=seen.append)
    found = run.results["training"]["good"]
    folder = run.folder / "training" / "good"
    assert found["state"] == "done" and found["steps"] == 4 and found["rows"] == 15
    assert found["loss_last"] < found["loss_first"] and found["mfu"] is None and found["cost_usd"] > 0
    assert [point["step"] for point in found["curve"]] == [1, 2, 3, 4]
    assert getattr(seen[-1], "step", None) == getattr(seen[-1], "of", None) == 4
    assert {path.name for path in folder.iterdir()} >= {"job.json", "launch.sh", "metrics.jsonl", "model", "log.txt"}
    manifest = json.loads((folder / "model" / "alpaqual-manifest.json").read_text())
    stage = alpaqual.plan_recipe(trained.recipe).stage("training.good")
    assert manifest["lineage"]["fingerprint"] == stage.fingerprint
    assert manifest["data_sha256"] and manifest["versions"]["torch"] and "model.safetensors" in manifest["files"]
    assert "### Training" in (run.folder / "report.md").read_text()
    assert 'id="training"' in (run.folder / "report.html").read_text()

    again = trained.run()
    assert [each.reused for each in again.outcomes if each.stage == "training.good"] == [True]
    assert again.results == run.results
    assert "reuse  training.good" in trained.command("plan", "recipe.yaml", "-q").stdout


@pytest.mark.usefixtures("forked")
def test_another_threshold_with_the_same_rows_reuses_the_model(rerun: Project) -> None:
    """Another threshold that keeps the same rows trains nothing anew; other rows do, and the old model is kept."""
    first = rerun.folder / "runs" / "trial" / "training" / "good" / "model" / "model.safetensors"
    inode = first.stat().st_ino
    write(rerun, threshold=4)
    other = rerun.run()
    earlier = list((other.folder / "training" / "earlier").iterdir())
    assert len(earlier) == 1 and (earlier[0] / "model" / "model.safetensors").stat().st_ino == inode
    assert other.results["training"]["good"]["rows"] == 10
    # Back to what was: the model of before is there again.
    write(rerun, ", micro_batch_tokens: 1000")
    back = rerun.run()
    assert back.results["training"]["good"]["rows"] == 15
    assert first.stat().st_ino == inode
    assert [each.reused for each in back.outcomes if each.stage == "training.good"] == [True]


@pytest.mark.usefixtures("forked")
def test_the_model_of_a_finished_run_stays_while_the_next_run_fails(rerun: Project) -> None:
    first = open_run(rerun.folder / "runs" / "trial")
    place = first.folder / "training" / "good"
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    text = rerun.recipe.read_text()
    rerun.recipe.write_text(text.replace("learning_rate: 0.001", "learning_rate: 1.0e+30"))
    with pytest.raises(StageError, match="the step was not applied"):
        rerun.run()
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert open_run(first.folder).results == first.results
    assert open_run(first.folder / "unfinished").verdict == "error"
    rerun.recipe.write_text(text)
    assert all(each.reused for each in rerun.run().outcomes)


def test_the_plan_reuses_a_model_of_the_same_rows(rerun: Project) -> None:
    assert "do     training.good" in rerun.command("plan", "recipe.yaml", "-q", "--set", "training.seed=1").stdout
    write(rerun, more="categories: [{category: all, pattern: e}]")
    rerun.run(until="selecting")
    said = rerun.command("plan", "recipe.yaml", "-q").stdout
    assert re.search(r"reuse +training.good +its result is in the run folder", said) and "training good:" not in said


def test_nothing_is_trained_when_the_data_fails(trained: Project) -> None:
    write(trained, more="expect: [{dataset: good, rows: {min: 1000}}]")
    done = trained.command("run", "recipe.yaml")
    assert done.returncode == 1, done.stderr
    results = json.loads((trained.folder / "runs" / "trial" / "results.json").read_text())
    assert results["training"]["good"]["state"] == "waiting"
    assert not (trained.folder / "runs" / "trial" / "training").exists()
    assert "training good: waiting: the data is not good" in done.stdout


@pytest.mark.parametrize("launch", ["start: elsewhere", "nodes: 2, rendezvous: 'here:29500'"])
def test_a_job_with_start_elsewhere_is_written_and_runs_by_its_script(launch: str, trained: Project) -> None:
    write(trained, f", launch: {{{launch}}}")
    done = trained.command("run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert "training good: written: " in done.stdout
    folder = trained.folder / "runs" / "trial" / "training" / "good"
    assert not (folder / "model").exists()
    if "nodes" in launch:
        return
    # Elsewhere: what was written needs alpaqual's code and the model, and is found again when it comes back.
    done = subprocess.run(
        ["bash", "launch.sh"],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert trained.run().results["training"]["good"]["state"] == "done"


@pytest.mark.usefixtures("forked")
def test_the_data_of_a_running_job_is_not_replaced(trained: Project) -> None:
    import fcntl

    run = trained.run()
    write(trained, threshold=4)
    with (run.folder / "training" / "good" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StageError, match="a job is training on good"):
            trained.run()
    assert len((run.folder / "datasets" / "good.jsonl").read_text().splitlines()) == 15
    assert (run.folder / "report.html").is_file()


@pytest.mark.parametrize(
    "change",
    ["base_model=a/c", "tokenizer=a/c", "method=lora", "prompt=chat", "seed=1", "max_length=100", "precision=bf16"],
)
def test_settings_that_decide_the_weights_are_in_the_fingerprint(change: str, trained: Project) -> None:
    text = trained.recipe.read_text().replace(f"{{config: {SMALL}}}", "a/b")
    trained.recipe.write_text(text)
    before, after = (alpaqual.plan_recipe(trained.recipe, sets=sets) for sets in ([], [f"training.{change}"]))
    assert before.stage("training.good").fingerprint != after.stage("training.good").fingerprint


@pytest.mark.parametrize(
    "change", ["micro_batch_tokens=64", "price_per_gpu_hour=3", "launch.processes=2", "checkpoints.keep=5"]
)
def test_other_settings_of_training_are_not_in_the_fingerprint(change: str, trained: Project) -> None:
    before, after = (alpaqual.plan_recipe(trained.recipe, sets=sets) for sets in ([], [f"training.{change}"]))
    assert before.stage("training.good").fingerprint == after.stage("training.good").fingerprint


def test_exports_are_written_beside_the_jobs(trained: Project) -> None:
    write(trained, ", exports: [trl], launch: {start: elsewhere}")
    with pytest.raises(RecipeError, match=r"trainer trl: .*base_model"):
        trained.run()


def test_an_export_only_trainer_is_refused(trained: Project) -> None:
    write(trained, ", trainer: trl")
    with pytest.raises(RecipeError, match="run cannot start trl: name it in 'exports'"):
        alpaqual.plan_recipe(trained.recipe)


@pytest.mark.usefixtures("forked")
def test_a_job_that_fails_says_why_and_keeps_the_data(trained: Project) -> None:
    write(trained, ", clip: null, warmup_ratio: 0".replace("learning_rate", ""), datasets="[good, rest]")
    text = trained.recipe.read_text().replace("learning_rate: 0.001", "learning_rate: 1.0e+30")
    trained.recipe.write_text(text)
    done = trained.command("run", "recipe.yaml")
    assert done.returncode == 4, done.stdout
    assert "the step was not applied" in done.stderr and "Traceback" not in done.stderr
    folder = trained.folder / "runs" / "trial"
    results = json.loads((folder / "results.json").read_text())
    assert results["verdict"] == "error"
    assert results["training"]["good"]["why"].startswith("it failed")
    assert results["training"]["rest"] == {
        **results["training"]["rest"],
        "state": "waiting",
        "why": "another job failed",
    }
    assert (folder / "datasets" / "good.jsonl").is_file() and (folder / "report.html").is_file()


@pytest.mark.usefixtures("forked")
def test_a_model_without_rows_is_reported(trained: Project) -> None:
    text = trained.recipe.read_text().replace("max_length: 512", "max_length: 8")
    trained.recipe.write_text(text)
    with pytest.raises(StageError, match=r"no row of .* can be trained on: 15 are longer than training.max_length"):
        trained.run()


@pytest.mark.usefixtures("forked")
def test_control_c_writes_a_checkpoint_that_the_next_run_resumes(trained: Project) -> None:
    write(trained, datasets="[full]")
    process = subprocess.Popen(
        [sys.executable, "-m", "alpaqual", "run", "recipe.yaml"],
        cwd=trained.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    metrics = trained.folder / "runs" / "trial" / "training" / "full" / "metrics.jsonl"
    try:
        ends = time.monotonic() + 90
        while time.monotonic() < ends and not (metrics.is_file() and metrics.stat().st_size):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 4, (output, errors)
    assert "training.full: stopped on a signal; a checkpoint was saved" in errors
    run = trained.run()
    found = run.results["training"]["full"]
    assert found["steps"] == 8 and [point["step"] for point in found["curve"]] == list(range(1, 9))
    assert "resuming after step" in (metrics.parent / "log.txt").read_text()


@pytest.mark.usefixtures("forked")
def test_held_out_rows_are_not_trained_on(trained: Project) -> None:
    write(trained, ", held_out: top", more="")
    text = trained.recipe.read_text().replace("full: {}", "full: {}, top: {threshold: {rating: 5}}")
    trained.recipe.write_text(text)
    found = trained.run().results["training"]["good"]
    assert (found["rows"], found["rows_held_out"], found["held_out"]["rows"]) == (10, 5, 5)
    assert found["held_out"]["dataset"] == "top"
    with pytest.raises(StageError, match=r"no row of .*good.jsonl can be trained on: 0 are longer .*, 5 are held out"):
        trained.recipe.write_text(text.replace("{rating: 3}", "{rating: 5}"))
        trained.run()


def test_until_selecting_trains_nothing(trained: Project) -> None:
    run = trained.run(until="selecting")
    assert run.results["training"] == {} and not (run.folder / "training").exists()


def test_missing_packages_are_an_error_before_any_stage(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import alpaqual.execution.training as training

    found = training.find_spec
    monkeypatch.setattr(training, "find_spec", lambda name: None if name in ("torch", "peft") else found(name))
    write(trained, ", method: lora")
    with pytest.raises(MachineError, match=r"training needs torch, peft here: pip install 'alpaqual\[train,lora\]'"):
        trained.run()
    assert not (trained.folder / "runs").exists()


@pytest.mark.parametrize(
    ("word", "value", "said"),
    [
        ("base_model", "models/none.gguf", "there is no model none.gguf"),
        ("tokenizer", "nothing", "there is no model nothing"),
    ],
)
def test_a_model_that_is_not_there_is_a_mistake_of_the_recipe(
    word: str, value: str, said: str, trained: Project
) -> None:
    with pytest.raises(RecipeError, match=said):
        alpaqual.plan_recipe(trained.recipe, sets=[f"training.{word}={value}"])
