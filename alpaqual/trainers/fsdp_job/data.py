"""What is learned from: the rows of a job as tokens, in their order, and those that are held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaqual.job import Job
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

    Raises ValueError where there is nothing to learn or to measure.
    """
    rows = read_rows(folder / job.data)
    held_out, kept_out = None, 0
    if job.held_out is not None:
        apart = read_rows(folder / job.held_out)
        held_out = encode(apart, tokenizer, job.text)
        if not held_out.all:
            raise ValueError(
                f"no row of {job.held_out} can be measured: it has none, or all are longer than training.max_length"
            )
        ids = {row["id"] for row in apart}
        kept_out = sum(row["id"] in ids for row in rows)
        rows = [row for row in rows if row["id"] not in ids]
    examples = encode(rows, tokenizer, job.text)
    if not examples.all:
        raise ValueError(
            f"no row of {job.data} can be trained on: {len(examples.dropped)} are longer than training.max_length"
            + (f", {kept_out} are held out" if kept_out else "")
        )
    ids_in_order = tuple(each.id for each in examples.all)
    return Data(
        examples, held_out, kept_out, Order(ids_in_order, job.steps.batch_size, job.steps.epochs, job.steps.seed)
    )
