"""Training jobs: one a dataset, written into the run folder and run by torchrun, here or elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from alpaqual import job_folder
from alpaqual.contracts import Trainer
from alpaqual.errors import EXIT_MACHINE, AlpaqualError, MachineError, StageError
from alpaqual.execution.dataset_files import exported_file, split_files
from alpaqual.execution.folder import DATASETS, TABLES, RunFolder
from alpaqual.execution.options import TrainingProgress, Watcher
from alpaqual.plan.grading import GradeStage
from alpaqual.plan.plan import Plan
from alpaqual.plan.selecting import SelectStage
from alpaqual.plan.stage import fingerprint
from alpaqual.plan.training import TrainStage
from alpaqual.plan.writing import WriteStage
from alpaqual.recipe.training import Training
from alpaqual.registry import find
from alpaqual.store.store import Store
from alpaqual.trainers._packages import extra_of

if TYPE_CHECKING:
    from alpaqual.job import Job

_POLL_SECONDS = 0.5
_LOG_LINES = 15
_DATA = "data"
"""The folder of a job's rows, in its own: no later run changes them."""


@dataclass(frozen=True)
class Trained:
    """The state of one job: done, written or waiting. `why` is the reason for the last two, `error` for a job that failed."""

    state: str
    why: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Of the manifest, and `curve`: step, loss, learning_rate and gradient_norm of at most 200 steps."""
    error: AlpaqualError | None = None
    folder: Path | None = None
    """Where the job and its model are now; at the end of the run they may move to their place."""

    @property
    def finished(self) -> bool:
        """Whether there is a model."""
        return self.state == "done"


def failed(error: AlpaqualError) -> Trained:
    """A job that failed: a later run resumes it."""
    return Trained("waiting", f"it failed: {error}", error=error)


def check_packages(training: Training) -> None:
    """Raises MachineError where this machine lacks a package that training needs here."""
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


def trained_folder(folder: Path, stage: TrainStage, store: Store) -> Path | None:
    """The job in a run folder that has the stage's model of the rows that the store has for its datasets."""
    data = stored_rows(stage, stage.job.data, store)
    held_out = None if stage.job.held_out is None else stored_rows(stage, stage.job.held_out, store)
    if data is None or (held_out is None and stage.job.held_out is not None):
        return None
    key = _key_of(stage, store.digest(data), None if held_out is None else store.digest(held_out))
    places = (folder / "training" / stage.dataset, _earlier(folder, stage.dataset, key))
    return next((place for place in places if job_folder.manifest_in(place, key) is not None), None)


def stored_rows(stage: TrainStage, name: str, store: Store) -> Path | None:
    """The JSON Lines of a name of the job in the store; None where its dataset is not selected, or not split, yet."""
    found: dict[str, Path] = {}
    for each in stage.inputs:
        result = store.find(each.fingerprint)
        if isinstance(each, SelectStage) and result is not None:
            found[f"{each.dataset}.jsonl"] = exported_file(each, result)
        elif isinstance(each, WriteStage) and result is not None:
            found |= split_files(each, result)
    return found.get(name)


def _key_of(stage: TrainStage, data: str | None, held_out: str | None) -> str:
    return fingerprint({"settings": stage.all_settings, "data": data, "held_out": held_out})


def _earlier(run: Path, dataset: str, key: str) -> Path:
    """Where a job of other rows or settings is kept."""
    return run / "training" / "earlier" / f"{dataset}-{key[:12]}"


class TrainingRun:
    """One job in the run folder: its files, the process that trains, and what became of it."""

    def __init__(
        self, plan: Plan, job: Job, folder: RunFolder, rows: Mapping[str, Path], watch: Watcher | None
    ) -> None:
        training = plan.recipe.text.training
        assert training is not None
        self.training = training
        self.name = f"training.{job.dataset}"
        self.run = folder
        self.place = f"training/{job.dataset}"
        self.plan = plan
        self.filled = job
        self.rows = rows
        self.watch = watch
        self.plugin: Trainer = find("trainers", training.trainer)()
        self.path = self._waiting_place() if self._keeps_model() else self.place

    @property
    def folder(self) -> Path:
        """The folder of the job."""
        return self.run.path / self.path

    @property
    def job(self) -> Job:
        """The job with its paths relative to its folder, which has its rows."""
        beside = job_beside(self.filled, self.plan, self.run.path, self.folder)
        held_out = None if self.filled.held_out is None else f"{_DATA}/{self.filled.held_out}"
        return dataclasses.replace(beside, data=f"{_DATA}/{self.filled.data}", held_out=held_out)

    @property
    def locked(self) -> bool:
        """Whether another process is training in the job's folder."""
        return job_folder.is_locked(self.folder)

    def write(self) -> None:
        """Write the job's files and rows; a job of other rows or settings is moved to training/earlier/ first.

        Where that has the model of a finished run, the new job is there until this run is finished.
        """
        if self.path == self.place:
            self.set_aside()
        else:
            self._rename_at_the_end()
        self._write()

    def settle(self) -> None:
        """Write the job's files again, where the run is finished and the job has its place."""
        if self.path != self.place and (self.run.path / self.place).is_dir() and not self.folder.exists():
            self.path = self.place
            self._write()

    def _write(self) -> None:
        for name in filter(None, (self.filled.data, self.filled.held_out)):
            self.run.place_job_data(self.rows[name], f"{self.path}/{_DATA}/{name}")
        for name, text in self.plugin.files(self.job).items():
            self.run.write_job(f"{self.path}/{name}", text, file_mode(name))

    def _keeps_model(self) -> bool:
        """Whether the job's place has the model of a finished run, of other rows or settings."""
        there = job_folder.key_in(self.run.path / self.place)
        other = there is not None and there != self.filled.key
        return other and (self.run.path / self.place / job_folder.MODEL).is_dir() and self.run.has_finished_run

    def _waiting_place(self) -> str:
        return str(_earlier(self.run.path, self.filled.dataset, self.filled.key).relative_to(self.run.path))

    def _rename_at_the_end(self) -> None:
        there = job_folder.key_in(self.run.path / self.place)
        assert there is not None
        target = _free(_earlier(self.run.path, self.filled.dataset, there))
        self.run.rename(self.place, str(target.relative_to(self.run.path)))
        self.run.rename(self.path, self.place)

    def finished(self) -> Trained | None:
        """The model of this job, where there is one."""
        manifest = job_folder.manifest_in(self.folder, self.job.key)
        if manifest is None:
            return None
        facts = {**manifest["training"], "curve": job_folder.curve_in(self.folder)}
        facts["model"] = f"{self.place}/{job_folder.MODEL}"
        return Trained("done", facts=facts, folder=self.folder)

    def train(self) -> Trained:
        """Run the job to its end."""
        try:
            self.start()
        except AlpaqualError as error:
            return failed(error)
        lost = StageError(f"{self.name} ended and left no model; its log: {self.folder / job_folder.LOG}")
        return self.finished() or failed(lost)

    def command(self) -> str:
        """The command that starts the job elsewhere."""
        launch = self.training.launch
        if launch.slurm is not None:
            return f"cd {self.folder} && sbatch slurm.sh"
        if launch.kubernetes is not None:
            return f"kubectl apply -f {self.folder / 'kubernetes.yaml'}"
        return f"bash {self.folder / 'launch.sh'}" + (" on each node" if launch.nodes > 1 else "")

    def set_aside(self) -> None:
        """Move a job of another key to training/earlier/, and an earlier job of this key back."""
        there = job_folder.key_in(self.folder)
        if there is not None and there != self.job.key:
            target = _free(_earlier(self.run.path, self.job.dataset, there))
            target.parent.mkdir(parents=True, exist_ok=True)
            self.run.moved(self.path, str(target.relative_to(self.run.path)))
            self.folder.rename(target)
        before = _earlier(self.run.path, self.job.dataset, self.job.key)
        if before.is_dir() and job_folder.key_in(self.folder) is None:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.run.moved(str(before.relative_to(self.run.path)), self.path)
            before.rename(self.folder)

    def start(self) -> None:
        """Run the job to its end.

        Raises StageError or MachineError where it has none.
        """
        failure = self.folder / job_folder.FAILURE
        failure.unlink(missing_ok=True)
        environment = {**os.environ, "PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
        with (self.folder / job_folder.LOG).open("ab") as log:
            # A session of its own: this process forwards Control-C of the terminal once.
            process = subprocess.Popen(
                self.plugin.command(self.job),
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            with _forwarding_signals(process):
                self.follow(process)
        code = process.returncode
        if code == 0:
            return
        if (reported := job_folder.read_json(failure)) is not None:
            kind = MachineError if reported.get("exit_code") == EXIT_MACHINE else StageError
            raise kind(f"{self.name}: {reported['message']}")
        last = "\n".join(job_folder.log_in(self.folder, _LOG_LINES))
        error = job_folder.error_in(self.folder)
        raise StageError(
            f"{self.name} failed (exit code {code}{f', {error}' if error else ''}); run again to resume from its last checkpoint; "
            f"its log is {self.folder / job_folder.LOG}, which ends with:\n{last}"
        )

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        seen = 0
        metrics = self.folder / job_folder.METRICS
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
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


def trains_elsewhere(training: Training) -> bool:
    """Whether jobs are only written: a person submits scripts for a scheduler or several nodes."""
    launch = training.launch
    return launch.start == "elsewhere" or launch.nodes > 1 or launch.slurm is not None or launch.kubernetes is not None


def fill_job(plan: Plan, stage: TrainStage, store: Store, folder: RunFolder, rows: Mapping[str, Path]) -> Job:
    """The stage's job with what is known once its rows are selected: digests, key and lineage.

    `rows` has the JSON Lines by the names of jobs.
    """
    job = stage.job
    _check_prompt(job, plan, rows)
    digest = store.digest(rows[job.data])
    held_out = None if job.held_out is None else store.digest(rows[job.held_out])
    # Every score, with the reply of the ledger that it was read from where the grader keeps it.
    grades = folder.prepared(f"{TABLES}/grades.parquet")
    lineage = {
        "recipe": {"name": plan.recipe.name, "sha256": fingerprint(msgspec.to_builtins(plan.recipe.text))},
        "fingerprint": stage.fingerprint,
        "inputs": stage.input_fingerprints,
        "sources": [{"name": facts.name, "sha256": [file.digest for file in facts.files]} for facts in plan.sources],
        "graders": {each.name: each.fingerprint for each in plan.of(GradeStage)},
        "grades_sha256": store.digest(grades) if grades.is_file() else None,
        "base_model": job.model.digest or job.model.name or "random weights",
    }
    key = _key_of(stage, digest, held_out)
    return dataclasses.replace(job, key=key, data_sha256=digest, held_out_sha256=held_out or "", lineage=lineage)


def _check_prompt(job: Job, plan: Plan, rows: Mapping[str, Path]) -> None:
    """Raises StageError for a row that the job's prompt, or that of its exports, cannot render."""
    from alpaqual.trainers._chat import RowError
    from alpaqual.trainers._rows import refuse_conversations

    training = plan.recipe.text.training
    exported = training is not None and bool(training.exports)
    for data in filter(None, (job.data, job.held_out)):
        try:
            refuse_conversations(job, rows[data], exported=exported)
        except RowError as error:
            raise StageError(f"{data}: {error}") from None


def job_beside(job: Job, plan: Plan, run: Path, folder: Path) -> Job:
    """The job with its paths relative to a folder; paths outside of the project are absolute."""

    def path(target: Path) -> str:
        inside = target.resolve().is_relative_to(
            Path(os.path.commonpath([run.resolve(), plan.recipe.folder.resolve()]))
        )
        return os.path.relpath(target.resolve(), folder.resolve()) if inside else str(target.resolve())

    def model(name: str | None) -> str | None:
        return path(plan.recipe.folder / name) if name is not None and (plan.recipe.folder / name).exists() else name

    data = run / DATASETS
    return dataclasses.replace(
        job,
        data=path(data / job.data),
        held_out=None if job.held_out is None else path(data / job.held_out),
        model=dataclasses.replace(job.model, path=model(job.model.path), tokenizer=model(job.model.tokenizer)),
    )


def file_mode(name: str) -> int:
    """The mode of a job's file: scripts are executable."""
    return 0o755 if name.endswith(".sh") else 0o644


def _free(folder: Path) -> Path:
    """A folder for a job set aside: where one is there, the job that comes started again from step 0, so both are kept."""
    return folder.with_name(f"{folder.name}-{time.time_ns()}") if folder.exists() else folder


def _extra(missing: list[str]) -> str:
    return ",".join(dict.fromkeys(extra_of(package) for package in missing))


@contextlib.contextmanager
def _forwarding_signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass the first interrupt or SIGTERM on to the job, which writes a checkpoint; a second one raises KeyboardInterrupt."""
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
        # Python handles signals in the main thread alone.
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.returncode is None:
            process.terminate()
