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
    """The same on every process."""

    examples: Examples
    held_out: Examples | None
    order: Order


def read_data(job: Job, folder: Path, tokenizer: Any) -> Data:
    """Read the files that a job names.

    Raises ValueError where there is nothing to learn or to measure.
    """
    examples = encode(read_rows(folder / job.data), tokenizer, job.text)
    if not examples.all:
        raise ValueError(
            f"no row of {job.data} can be trained on: {len(examples.dropped)} are longer than training.max_length"
        )
    held_out = None
    if job.held_out is not None:
        held_out = encode(read_rows(folder / job.held_out), tokenizer, job.text)
        _check_apart(examples, held_out, job)
    ids = tuple(each.id for each in examples.all)
    return Data(examples, held_out, Order(ids, job.steps.batch_size, job.steps.epochs, job.steps.seed))


def _check_apart(examples: Examples, held_out: Examples, job: Job) -> None:
    """The loss of rows that are trained on would tell nothing."""
    both = {each.id for each in examples.all} & {each.id for each in held_out.all}
    if both:
        raise ValueError(
            f"{len(both)} rows of {job.held_out} are also in {job.data} (the first: {min(both)}): "
            "training.held_out must name a dataset that shares no row with those that are trained on"
        )
    if not held_out.loss_tokens:
        raise ValueError(
            f"no row of {job.held_out} can be measured: it has none, or all are longer than training.max_length"
        )
