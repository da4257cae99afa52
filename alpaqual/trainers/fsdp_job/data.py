"""What is learned from: the rows of a job as tokens, in their order, and those that are held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaqual.job import Job, JobError
from alpaqual.trainers.fsdp_job.batches import Order
from alpaqual.trainers.fsdp_job.texts import Examples, encode, read_rows


@dataclass(frozen=True)
class Data:
    """The same on every process. `kept_out` rows of the dataset are held out, and not trained on."""

    examples: Examples
    held_out: Examples | None
    kept_out: int
    order: Order


def read_data(job: Job, folder: Path, tokenizer: Any) -> Data:
    """Read the files that a job names.

    Raises JobError where there is nothing to learn or to measure.
    """
    rows = _read(folder, job.data, job.data_sha256)
    held_out, kept_out = None, 0
    if job.held_out is not None:
        apart = _read(folder, job.held_out, job.held_out_sha256)
        held_out = encode(apart, tokenizer, job.text)
        if not held_out.all:
            raise JobError(
                f"no row of {job.held_out} can be measured: it has none, or all are longer than training.max_length"
            )
        ids = {row["id"] for row in apart}
        kept_out = sum(row["id"] in ids for row in rows)
        rows = [row for row in rows if row["id"] not in ids]
    examples = encode(rows, tokenizer, job.text)
    if not examples.all:
        raise JobError(
            f"no row of {job.data} can be trained on: {len(examples.dropped)} are longer than training.max_length"
            + (f", {kept_out} are held out" if kept_out else "")
        )
    ids_in_order = tuple(each.id for each in examples.all)
    return Data(
        examples, held_out, kept_out, Order(ids_in_order, job.steps.batch_size, job.steps.epochs, job.steps.seed)
    )


def _read(folder: Path, file: str, digest: str) -> list[dict[str, str]]:
    """The rows of a file, which has to be the one that the job was written for."""
    path = folder / file
    if not path.is_file():
        raise JobError(f"there is no {path}: run the recipe again, or bring the run folder here whole")
    if digest and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise JobError(f"{path} holds other rows than this job was written for: run the recipe again")
    return read_rows(path)
