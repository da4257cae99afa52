"""Exports of a job: what other trainers read, in exports/<trainer>/<dataset>/ of the run folder."""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpaqual.contracts import Trainer
from alpaqual.errors import StageError
from alpaqual.execution.folder import DATASETS, RunFolder
from alpaqual.execution.training import file_mode, job_beside
from alpaqual.job import Job
from alpaqual.plan.plan import Plan
from alpaqual.plan.training import TrainStage
from alpaqual.registry import find
from alpaqual.trainers._rows import HELD_OUT_ROWS, TRAINING_ROWS, has_more, write_training_rows


def write_exports(plan: Plan, job: Job, folder: RunFolder, rows: Mapping[str, Path]) -> None:
    """Write what other trainers read of a job whose rows are selected: exports/<trainer>/<dataset>/ of the run folder.

    `rows` has the JSON Lines by the names of jobs.
    Raises StageError where every row of the dataset is held out.
    """
    training = plan.recipe.text.training
    for name in training.exports if training is not None else ():
        plugin: Trainer = find("trainers", name)()
        target = f"exports/{name}/{job.dataset}"
        exported = job_beside(job, plan, folder.path, folder.path / target)
        excluded = training is not None and training.held_out is not None
        exported = dataclasses.replace(exported, **_rows_beside(job, folder, target, rows, excluded=excluded))
        files = plugin.files(exported)
        for file, text in files.items():
            folder.write(f"{target}/{file}", text, file_mode(file))


def _rows_beside(
    job: Job, folder: RunFolder, target: str, rows: Mapping[str, Path], *, excluded: bool
) -> dict[str, Any]:
    """Write rows beside an export that the run folder shows in no file of their own. Returns the fields of its job that differ.

    With `excluded`, rows that are held out are left out of those that are trained on.
    """
    differs: dict[str, Any] = {}
    held_out = job.held_out
    if held_out is not None and not _is_readable(held_out, folder, rows):
        _write_rows(folder, f"{target}/{HELD_OUT_ROWS}", rows[held_out], None)
        differs["held_out"] = HELD_OUT_ROWS
    left_out = rows[held_out] if held_out is not None and excluded else None
    if left_out is None and _is_readable(job.data, folder, rows):
        return differs
    count, digest = _write_rows(folder, f"{target}/{TRAINING_ROWS}", rows[job.data], left_out)
    if not count and left_out is not None:
        raise StageError(f"{target}: no row of {job.dataset} is left to train on: all are in training.held_out")
    return {**differs, "data": TRAINING_ROWS, "data_sha256": digest}


def _write_rows(folder: RunFolder, name: str, data: Path, held_out: Path | None) -> tuple[int, str]:
    """Write rows under a name of the run folder, without those that are held out. Returns their number and sha256."""
    with tempfile.TemporaryDirectory(dir=folder.path) as temporary:
        path = Path(temporary, "rows.jsonl")
        found = write_training_rows(data, held_out, path)
        folder.place(path, name)
    return found


def _is_readable(name: str, folder: RunFolder, rows: Mapping[str, Path]) -> bool:
    """Whether another program can read the rows where the run folder shows them."""
    return _is_shown(name, folder, rows) and not has_more(rows[name])


def _is_shown(name: str, folder: RunFolder, rows: Mapping[str, Path]) -> bool:
    """Whether the run folder has the rows under their name: a dataset of another format has others there."""
    return folder.prepared(f"{DATASETS}/{name}") == rows[name]


def training_commands(plan: Plan, run: Path) -> dict[str, str]:
    """What trains each dataset in a run folder, by stage, as a line of the shell."""
    training = plan.recipe.text.training
    if training is None:
        return {}
    trainer = find("trainers", training.trainer)()
    return {
        stage.name: f"cd {shlex.quote(str(run / 'training' / stage.dataset))} && {shlex.join(trainer.command(stage.job))}"
        for stage in plan.of(TrainStage)
    }
