"""A tiny model that is sharded over one rank, in the test's own process."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training import rows, tiny_job, write_rows, write_tokenizer


@pytest.fixture(scope="module")
def ranks():
    from alpaqual.trainers.fsdp_job.ranks import init_ranks

    yield init_ranks(1)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """(folder, job)"""
    folder = tmp_path_factory.mktemp("job")
    write_rows(folder / "data.jsonl", rows(12))
    return folder, tiny_job(write_tokenizer(folder / "tokenizer"), held_out=None)


def build(job, ranks, checkpointing=False, **more):
    """(sharded model, reference, sample rows, data) of a job; `more` are fields of the job."""
    from alpaqual.trainers.fsdp_job.data import read_data
    from alpaqual.trainers.fsdp_job.kernels import choose_sample_rows
    from alpaqual.trainers.fsdp_job.model import BaseModel, build_sharded
    from alpaqual.trainers.fsdp_job.reference import set_eval_mode

    folder, made = job
    base = BaseModel(replace(made, **more), folder)
    data = read_data(base.job, folder, base.tokenizer())
    sample = choose_sample_rows(data.examples.all)
    sharded, reference = build_sharded(base, base.config(), ranks, [each.tokens for each in sample], checkpointing)
    set_eval_mode(sharded)
    return sharded, reference, sample, data


def with_machine(job, **machine):
    """The job with other settings of its machine."""
    return replace(job[1], machine=replace(job[1].machine, **machine))
