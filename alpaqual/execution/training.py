"""Trains what was selected: one job a dataset, written where a person can read it, started here or handed over."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from alpaqual import job_folder
from alpaqual.contracts import Trainer
from alpaqual.errors import EXIT_MACHINE, AlpaqualError, MachineError, StageError
from alpaqual.execution.executor import Listener
from alpaqual.execution.options import TrainingProgress, Watcher
from alpaqual.job import Job
from alpaqual.plan.plan import Plan, Stage, fingerprint
from alpaqual.recipe.training import Training
from alpaqual.registry import find
from alpaqual.store.store import Store, write_whole
from alpaqual.trainers._packages import extra_of

_LOOK_EVERY = 0.5
_SAID = 15


@dataclass(frozen=True)
class Trained:
    """How the training of one dataset stands: done, written or waiting; `why` is for all but the first, `error` where it failed."""

    state: str
    why: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Of the manifest, and `curve`: step, loss, learning_rate and gradient_norm of at most 200 steps."""
    reused: bool = False
    seconds: float = 0.0
    error: AlpaqualError | None = None


def failed(error: AlpaqualError) -> Trained:
    """A job that is still to be trained, because of an error."""
    return Trained("waiting", f"it failed: {error}", error=error)


def check_trainer(plan: Plan, store: Store, folder: Path) -> None:
    """Raises MachineError where this machine cannot train what it is to start, before anything is done or paid for."""
    training = plan.recipe.text.training
    if training is None or _elsewhere(training) or all(is_trained(folder, stage, store) for stage in _stages(plan)):
        return
    wanted = ["torch", "transformers", "safetensors", "numpy"]
    wanted += ["peft"] if training.method != "full" else []
    wanted += ["bitsandbytes"] if training.method == "qlora" else []
    wanted += ["gguf", "accelerate"] if str(training.base_model).lower().endswith(".gguf") else []
    wanted += ["tensorboard"] if training.tensorboard else []
    wanted += ["liger_kernel"] if training.cross_entropy == "liger" else []
    if missing := [package for package in wanted if find_spec(package) is None]:
        raise MachineError(
            f"training needs {', '.join(missing)} here: pip install 'alpaqual[{_extra(missing)}]'; or train on another machine: "
            "launch: {start: elsewhere} writes the jobs and starts none"
        )


def fill_jobs(plan: Plan, store: Store, folder: Path) -> list[Job]:
    """The jobs of a plan, with what is known once their rows lie in the run folder: digests, key, and where all of it comes from."""
    return [_filled(plan, stage, store, folder) for stage in _stages(plan)]


def write_exports(plan: Plan, jobs: Sequence[Job], folder: Path) -> None:
    """Write what other trainers read of filled jobs: exports/<trainer>/<dataset>/ of the run folder."""
    training = plan.recipe.text.training
    for job in jobs:
        for name in training.exports if training is not None else ():
            plugin: Trainer = find("trainers", name)()
            target = folder / "exports" / name / job.dataset
            _write(plugin.files(_beside(job, plan, folder, target)), target)


def train(
    plan: Plan, jobs: Sequence[Job], folder: Path, *, bad: bool, watch: Watcher | None, listen: Listener
) -> dict[str, Trained]:
    """Do the filled jobs of a plan in its run folder; `bad` data is not trained on. The first job that fails is the last.

    A finished job is not done again, an unfinished one goes on; a model of other data or settings is moved aside, never lost.
    """
    trained: dict[str, Trained] = {}
    for job in jobs:
        if bad:
            trained[job.dataset] = Trained("waiting", "the data is not good, so nothing was trained on it")
            continue
        if any(each.error is not None for each in trained.values()):
            trained[job.dataset] = Trained("waiting", "another job failed")
            continue
        trained[job.dataset] = _Training(plan, job, folder, watch, listen).done()
    return trained


def is_trained(folder: Path, stage: Stage, store: Store) -> bool:
    """Whether a run folder has the model of a stage: of the rows that the store has for it, however they were asked for."""
    assert stage.job is not None
    digests = []
    for data in (stage.job.data, stage.job.held_out):
        result = None if data is None else store.find(stage.inputs[f"selecting.{data.removesuffix('.jsonl')}"])
        if data is not None and result is None:
            return False
        digests.append(None if result is None else store.digest(result.folder / f"dataset.{data}"))
    key, dataset = _key_of(stage, *digests), stage.job.dataset
    places = (folder / "training" / dataset, _earlier(folder, dataset, key))
    return any(job_folder.manifest_in(place, key) is not None for place in places)


def _key_of(stage: Stage, data: str | None, held_out: str | None) -> str:
    return fingerprint({"settings": stage.settings, "data": data, "held_out": held_out})


def _earlier(run: Path, dataset: str, key: str) -> Path:
    """Where a job that is not asked for now is kept."""
    return run / "training" / "earlier" / f"{dataset}-{key[:12]}"


def measured_speed(folder: Path, job: Job) -> float | None:
    """Tokens a second that jobs of a run folder reached with the same model, settings and launch; None where there is none."""
    speeds, asked = [], msgspec.to_builtins(job)
    for path in sorted((folder / "training").glob(f"*/{job_folder.JOB}")):
        other, lines = job_folder.read_json(path), job_folder.steps_in(path.parent)
        words = ("model", "method", "lora", "precision", "text", "launch")
        same = other is not None and all(_comparable(other, word) == _comparable(asked, word) for word in words)
        # The first step is also the one in which everything is compiled and laid out.
        if same and len(lines) > 1:
            speeds.append(sum(line["tokens"] for line in lines[1:]) / sum(line["seconds"] for line in lines[1:]))
    return speeds[-1] if speeds else None


def _comparable(job: Mapping[str, Any], word: str) -> Any:
    """A part of a job without the paths of its model, which digests stand for."""
    return {**job[word], "path": None, "tokenizer": None} if word == "model" else job[word]


class _Training:
    def __init__(self, plan: Plan, job: Job, run: Path, watch: Watcher | None, listen: Listener) -> None:
        training = plan.recipe.text.training
        assert training is not None
        self.training = training
        self.name = f"training.{job.dataset}"
        self.run = run
        self.folder = run / "training" / job.dataset
        self.watch = watch
        self.listen = listen
        self.plugin: Trainer = find("trainers", training.trainer)()
        self.job = _beside(job, plan, run, self.folder)

    def done(self) -> Trained:
        started = time.monotonic()
        if job_folder.is_locked(self.folder):
            return Trained("waiting", f"another process is training in {self.folder}; look again when it has ended")
        self.put_aside()
        _write(self.plugin.files(self.job), self.folder)
        manifest = job_folder.manifest_in(self.folder, self.job.key)
        if manifest is not None:
            self.listen(self.name, "reused", 0.0)
            return self.result(manifest, reused=True, seconds=0.0)
        if _elsewhere(self.training):
            return Trained("written", f"start it where it is to be trained: {self.started_by()}")
        self.listen(self.name, "start", 0.0)
        try:
            self.start()
        except AlpaqualError as error:
            return failed(error)
        manifest = job_folder.manifest_in(self.folder, self.job.key)
        if manifest is None:
            lost = StageError(f"{self.name} ended and left no model; its log: {self.folder / job_folder.LOG}")
            return failed(lost)
        seconds = time.monotonic() - started
        self.listen(self.name, "done", seconds)
        return self.result(manifest, reused=False, seconds=seconds)

    def started_by(self) -> str:
        """What a person is to run."""
        launch = self.training.launch
        if launch.slurm is not None:
            return f"cd {self.folder} && sbatch slurm.sh"
        if launch.kubernetes is not None:
            return f"kubectl apply -f {self.folder / 'kubernetes.yaml'}"
        return f"bash {self.folder / 'launch.sh'}" + (" on each node" if launch.nodes > 1 else "")

    def result(self, manifest: Mapping[str, Any], *, reused: bool, seconds: float) -> Trained:
        facts = {**manifest["training"], "curve": job_folder.curve_in(self.folder)}
        facts["model"] = f"training/{self.job.dataset}/{job_folder.MODEL}"
        return Trained("done", facts=facts, reused=reused, seconds=seconds)

    def put_aside(self) -> None:
        """Move what another job left here to training/earlier/, and back what this one left there."""
        there = job_folder.key_in(self.folder)
        if there is not None and there != self.job.key:
            target = _earlier(self.run, self.job.dataset, there)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                # What is here was begun again from nothing, so the one before it has come as far or further.
                target = target.with_name(f"{target.name}-{time.time_ns()}")
            self.folder.rename(target)
        before = _earlier(self.run, self.job.dataset, self.job.key)
        if before.is_dir() and job_folder.key_in(self.folder) is None:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            before.rename(self.folder)

    def start(self) -> None:
        """Run the job to its end.

        Raises StageError or MachineError where it has none.
        """
        failure = self.folder / job_folder.FAILURE
        failure.unlink(missing_ok=True)
        environment = {**os.environ, "PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
        with (self.folder / job_folder.LOG).open("ab") as log:
            # A session of its own: Control-C in this terminal is ours to pass on, once.
            process = subprocess.Popen(
                self.plugin.command(self.job),
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            with _passing_on(process):
                self.follow(process)
        code = process.returncode
        if code == 0:
            return
        if (told := job_folder.read_json(failure)) is not None:
            kind = MachineError if told.get("exit_code") == EXIT_MACHINE else StageError
            raise kind(f"{self.name}: {told['message']}")
        last = "\n".join(job_folder.log_in(self.folder, _SAID))
        raise StageError(
            f"{self.name} failed (exit code {code}); run again and it goes on from its last checkpoint; "
            f"all it said is in {self.folder / job_folder.LOG}, at last:\n{last}"
        )

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        seen = 0
        metrics = self.folder / job_folder.METRICS
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_EVERY)
            if self.watch is not None and metrics.is_file() and metrics.stat().st_size != seen:
                seen = metrics.stat().st_size
                if lines := job_folder.steps_in(self.folder):
                    self.watch(self.progress(lines))
            if process.returncode is not None:
                return

    def progress(self, lines: list[dict[str, Any]]) -> TrainingProgress:
        at = lines[-1]
        left = (at["steps"] - at["step"]) * at["elapsed_seconds"] / at["step"]
        return TrainingProgress(
            self.job.dataset,
            at["step"],
            at["steps"],
            at["loss"],
            at["tokens_per_second"],
            at["mfu"],
            at["memory_bytes"],
            left,
        )


def _stages(plan: Plan) -> list[Stage]:
    return [stage for stage in plan.stages if stage.verb == "training"]


def _elsewhere(training: Training) -> bool:
    """Whether the jobs are only written: a script for a scheduler is not started by what writes it."""
    launch = training.launch
    return launch.start == "elsewhere" or launch.nodes > 1 or launch.slurm is not None or launch.kubernetes is not None


def _filled(plan: Plan, stage: Stage, store: Store, folder: Path) -> Job:
    assert stage.job is not None
    job = stage.job
    digest = store.digest(folder / "datasets" / job.data)
    held_out = None if job.held_out is None else store.digest(folder / "datasets" / job.held_out)
    # Every score, with the reply of the ledger that it was read from where the grader keeps it.
    grades = folder / "tables" / "grades.parquet"
    lineage = {
        "recipe": {"name": plan.recipe.name, "sha256": fingerprint(msgspec.to_builtins(plan.recipe.text))},
        "fingerprint": stage.fingerprint,
        "inputs": dict(stage.inputs),
        "sources": [{"name": facts.name, "sha256": [file.digest for file in facts.files]} for facts in plan.sources],
        "graders": {each.name: each.fingerprint for each in plan.stages if each.verb == "grading"},
        "grades_sha256": store.digest(grades) if grades.is_file() else None,
        "base_model": job.model.digest or job.model.name or "random weights",
    }
    key = _key_of(stage, digest, held_out)
    return dataclasses.replace(job, key=key, data_sha256=digest, held_out_sha256=held_out or "", lineage=lineage)


def _beside(job: Job, plan: Plan, run: Path, folder: Path) -> Job:
    """The job with its paths as they are from a folder; what lies outside the project is named in full."""

    def path(target: Path) -> str:
        inside = target.resolve().is_relative_to(
            Path(os.path.commonpath([run.resolve(), plan.recipe.folder.resolve()]))
        )
        return os.path.relpath(target.resolve(), folder.resolve()) if inside else str(target.resolve())

    def model(name: str | None) -> str | None:
        return path(plan.recipe.folder / name) if name is not None and (plan.recipe.folder / name).exists() else name

    data = run / "datasets"
    return dataclasses.replace(
        job,
        data=path(data / job.data),
        held_out=None if job.held_out is None else path(data / job.held_out),
        model=dataclasses.replace(job.model, path=model(job.model.path), tokenizer=model(job.model.tokenizer)),
    )


def busy_jobs(plan: Plan, folder: Path) -> list[str]:
    """Datasets of a run folder that a job is reading at this moment."""
    names = [stage.job.dataset for stage in _stages(plan) if stage.job is not None]
    return [name for name in names if job_folder.is_locked(folder / "training" / name)]


def _write(files: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_whole(folder / name, text)
        if name.endswith(".sh"):
            (folder / name).chmod(0o755)


def _extra(missing: list[str]) -> str:
    return ",".join(dict.fromkeys(extra_of(package) for package in missing))


@contextlib.contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While this lasts an interrupt or SIGTERM asks the job to stop, which then writes a checkpoint; a second one is our own."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        # Not the main thread: signals are somebody else's.
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.returncode is None:
            process.terminate()
