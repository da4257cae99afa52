"""Exports of a job: what other trainers read, in exports/<trainer>/<dataset>/ of the run folder."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from alpaqual.contracts import Trainer
from alpaqual.errors import StageError
from alpaqual.execution.folder import DATASETS, RunFolder
from alpaqual.execution.training import file_mode, job_beside
from alpaqual.job import Job
from alpaqual.plan.plan import Plan
from alpaqual.registry import find
from alpaqual.trainers._rows import TRAINING_ROWS, write_training_rows


def write_exports(plan: Plan, job: Job, folder: RunFolder) -> None:
    """Write what other trainers read of a job whose rows are selected: exports/<trainer>/<dataset>/ of the run folder.

    Raises StageError where every row of the dataset is held out.
    """
    training = plan.recipe.text.training
    for name in training.exports if training is not None else ():
        plugin: Trainer = find("trainers", name)()
        target = f"exports/{name}/{job.dataset}"
        exported = job_beside(job, plan, folder.path, folder.path / target)
        files = plugin.files(dataclasses.replace(exported, **_training_rows(job, folder, target)))
        for file, text in files.items():
            folder.write(f"{target}/{file}", text, file_mode(file))


def _training_rows(job: Job, folder: RunFolder, target: str) -> dict[str, Any]:
    """Write the rows that are trained on beside an export, where some are held out. Returns the fields of its job that differ."""
    copy = f"{target}/{TRAINING_ROWS}"
    if job.held_out is None:
        return {}
    data, held_out = (folder.prepared(f"{DATASETS}/{name}") for name in (job.data, job.held_out))
    with tempfile.TemporaryDirectory(dir=folder.path) as temporary:
        path = Path(temporary, TRAINING_ROWS)
        rows, digest = write_training_rows(data, held_out, path)
        if not rows:
            raise StageError(f"{target}: no row of {job.dataset} is left to train on: all are in training.held_out")
        folder.place(path, copy)
    return {"data": TRAINING_ROWS, "data_sha256": digest}
