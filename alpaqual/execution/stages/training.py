"""Executes `training.<dataset>`: a torchrun job in the run folder, whose manifest holds the key of its rows and settings."""

from __future__ import annotations

from functools import cached_property

from alpaqual.execution.dataset_files import training_files
from alpaqual.execution.execution import Execution
from alpaqual.execution.exports import write_exports
from alpaqual.execution.folder import RunFolder
from alpaqual.execution.training import (
    Trained,
    TrainingRun,
    check_packages,
    fill_job,
    trained_folder,
    trains_elsewhere,
)
from alpaqual.plan.training import TrainStage
from alpaqual.recipe.training import Training


class Handler:
    """Writes the job of one dataset and runs it, unless the data is not good or an earlier job failed."""

    def __init__(self, execution: Execution, stage: TrainStage) -> None:
        self.execution = execution
        self.stage = stage

    @property
    def training(self) -> Training:
        training = self.execution.plan.recipe.text.training
        assert training is not None
        return training

    @property
    def folder(self) -> RunFolder:
        folder = self.execution.folder
        assert folder is not None, "training needs a run folder"
        return folder

    @cached_property
    def run(self) -> TrainingRun:
        """The job with the digests of its rows."""
        rows = training_files(self.execution.plan, self.execution.stored_results)
        job = fill_job(self.execution.plan, self.stage, self.execution.store, self.folder, rows)
        write_exports(self.execution.plan, job, self.folder, rows)
        return TrainingRun(self.execution.plan, job, self.folder, rows, self.execution.options.watch)

    def check(self) -> None:
        """Raise MachineError where a job is to run here and a package is missing."""
        if not trains_elsewhere(self.training) and not self.exists():
            check_packages(self.training)

    def exists(self) -> bool:
        """Whether the run folder has the model of the stored rows."""
        return trained_folder(self.folder.path, self.stage, self.execution.store) is not None

    def find(self) -> Trained | None:
        """The model in the run folder; the job's files are written anew."""
        self.execution.fill_folder()
        if self._obstacle() is not None:
            return None
        self.run.write()
        self.execution.at_end.append(self.run.settle)
        return self.run.finished()

    def skip(self) -> Trained | None:
        """Why the job does not run now; None where it runs."""
        obstacle = self._obstacle()
        if obstacle is not None:
            return Trained("waiting", obstacle)
        if trains_elsewhere(self.training):
            return Trained("written", f"start it on the machine that is to train: {self.run.command()}")
        return None

    def make(self) -> Trained:
        """Train; an error is part of the result, so that the data's report is written all the same."""
        return self.run.train()

    def _obstacle(self) -> str | None:
        run = self.run
        if self.execution.data_failed:
            return "the data is not good, so nothing was trained on it"
        if any(isinstance(each, Trained) and each.error is not None for each in self.execution.results.values()):
            return "another job failed"
        if run.locked:
            return f"another process is training in {run.folder}; run again when it has ended"
        return None
