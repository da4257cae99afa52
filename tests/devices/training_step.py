"""Training on a fake device: the model is built and its kernels selected, it trains two steps, and its state is gathered."""

from __future__ import annotations

import pretending  # isort: skip

import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.testing._internal.distributed.fake_pg import FakeStore
from training import rows, tiny_job, write_rows, write_tokenizer

import alpaqual.trainers.fsdp_job.__main__ as program
from alpaqual.trainers.fsdp_job import kernels, reference
from alpaqual.trainers.fsdp_job.checkpoints import _SAVE_OPTIONS, get_state_dict
from alpaqual.trainers.fsdp_job.model import BaseModel
from alpaqual.trainers.fsdp_job.ranks import Ranks


class FakeRanks(Ranks):
    """Ranks whose collectives return this rank's own values."""

    def all_reduce_sum(self, *values: float) -> list[float]:
        return [float(value) for value in values]

    def broadcast_from_rank0(self, value: Any) -> Any:
        return value

    def all_gather(self, value: Any) -> list[Any]:
        return [value] * self.world_size


world = pretending.SETTINGS.pop("world", 1)
folder = Path(tempfile.mkdtemp())
write_rows(folder / "data.jsonl", rows(24))
write_rows(folder / "held_out.jsonl", rows(6, start=200))
settings = {"precision": "bf16", "compile": False, **pretending.SETTINGS}
job = tiny_job(write_tokenizer(folder / "tokenizer"), **settings)
dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world)
ranks = FakeRanks(
    0, world, torch.device("cuda", 0), init_device_mesh("cuda", (world,), mesh_dim_names=("shard",)), None
)
# Fake tensors have no values to compare.
kernels.relative_distance = reference.relative_distance = lambda found, wanted: (found - wanted, 0.0)[1]

pretending_mode = pretending.mode()
with pretending_mode.fake, pretending_mode.watch:
    base = BaseModel(job, folder)
    data = program.read_data(job, folder, base.tokenizer())
    sharded, flops = program.build_model(base, data, ranks)
    program.check_sharded(sharded, ranks)
    optimizer = torch.optim.AdamW(program.parameter_groups(sharded, job), lr=1e-3, fused=True)
    schedule = program.learning_rate_schedule(optimizer, job, data.order.steps)
    pretending.WAITS.clear()
    program.evaluate(sharded, data.held_out, job, ranks)
    measuring = dict(pretending.WAITS)
    sharded.train()
    for step, positions in data.order.steps_from(0):
        pretending.WAITS.clear()
        chosen = [data.examples.all[position] for position in positions]
        program.compute_gradient(sharded, chosen, job, ranks, step)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step == 1:
            break
    learning = dict(pretending.WAITS)
    weights, state = get_state_dict(sharded, optimizer, options=_SAVE_OPTIONS)
    moments = [part for each in optimizer.state.values() for part in each.values()]
    pretending.report(
        measuring=measuring,
        learning=learning,
        batches=len(
            program.plan_micro_batches([len(row.tokens) for row in chosen], world, job.machine.micro_batch_tokens)
        ),
        devices=sorted({each.device.type for each in (*sharded.parameters(), *sharded.buffers(), *moments)}),
        dtypes=sorted({str(weight.dtype) for weight in sharded.parameters() if weight.requires_grad}),
        state=len(weights) + len(state),
        peak=flops.peak,
        attention=sharded.model.config._attn_implementation,
    )
