"""The data of a job: training rows as token ids, in their order, and held-out rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaqual.job import Job, JobError
from alpaqual.trainers._chat import Row
from alpaqual.trainers._rows import ids_of, is_trained_on, read_rows
from alpaqual.trainers.fsdp_job.batches import Order
from alpaqual.trainers.fsdp_job.tokenization import Examples, tokenize


@dataclass(frozen=True)
class Data:
    """The same on every rank. `rows_held_out` counts rows of the dataset that are held out, and not trained on."""

    examples: Examples
    held_out: Examples | None
    rows_held_out: int
    order: Order


def read_data(job: Job, folder: Path, tokenizer: Any) -> Data:
    """Read and tokenize the files of a job.

    Raises JobError where a file is missing or changed, or where no row is left to train on or to evaluate.
    """
    rows = _read(folder, job.data, job.data_sha256)
    held_out, rows_held_out = None, 0
    if job.held_out is not None:
        held_out_rows = _read(folder, job.held_out, job.held_out_sha256)
        held_out = tokenize(held_out_rows, tokenizer, job.text)
        if not held_out.all:
            raise JobError(
                f"no row of {job.held_out} can be evaluated: the file is empty, or all rows are longer than "
                "training.max_length"
            )
        held_out_ids = ids_of(held_out_rows)
        trained_on = [row for row in rows if is_trained_on(row, held_out_ids)]
        rows_held_out, rows = len(rows) - len(trained_on), trained_on
    examples = tokenize(rows, tokenizer, job.text)
    if not examples.all:
        raise JobError(
            f"no row of {job.data} can be trained on: {len(examples.dropped)} are longer than training.max_length, "
            "or have no turn to learn" + (f", {rows_held_out} are held out" if rows_held_out else "")
        )
    ids = tuple(each.id for each in examples.all)
    order = Order(ids, job.steps.batch_size, job.steps.epochs, job.steps.seed)
    return Data(examples, held_out, rows_held_out, order)


def _read(folder: Path, file: str, sha256: str) -> list[Row]:
    """Read the rows of a file, which has to have the digest that the job was written for."""
    path = folder / file
    if not path.is_file():
        raise JobError(f"there is no {path}: run the recipe again, or copy the whole run folder here")
    if sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise JobError(f"{path} has other rows than this job was written for: run the recipe again")
    return list(read_rows(path))
