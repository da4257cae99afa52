"""Training on a device that is none: the model is read, sharded and shown to be right, learns two steps, and its state is taken."""

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
from alpaqual.trainers.fsdp_job import checking
from alpaqual.trainers.fsdp_job.checkpoints import _OPTIONS, get_state_dict
from alpaqual.trainers.fsdp_job.model import Base
from alpaqual.trainers.fsdp_job.ranks import Ranks


class Alone(Ranks):
    """Processes that hear nothing from each other."""

    def total(self, *values: float) -> list[float]:
        return [float(value) for value in values]

    def told(self, value: Any) -> Any:
        return value

    def gathered(self, value: Any) -> list[Any]:
        return [value] * self.world


world = pretending.SETTINGS.pop("world", 1)
folder = Path(tempfile.mkdtemp())
write_rows(folder / "data.jsonl", rows(24))
write_rows(folder / "held_out.jsonl", rows(6, start=200))
settings = {"precision": "bf16", "compile": False, **pretending.SETTINGS}
job = tiny_job(write_tokenizer(folder / "tokenizer"), **settings)
dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world)
ranks = Alone(0, world, torch.device("cuda", 0), init_device_mesh("cuda", (world,), mesh_dim_names=("shard",)), None)
# Numbers that are none are not compared.
checking._distance = lambda found, wanted: (found - wanted, 0.0)[1]

pretended = pretending.mode()
with pretended.fake, pretended.watch:
    base = Base(job, folder)
    data = program.read_data(job, folder, base.tokenizer())
    learner, speed = program.read_model(base, data, ranks)
    program.check_sharded(learner, ranks)
    optimizer = torch.optim.AdamW(program.groups(learner, job), lr=1e-3, fused=True)
    schedule = program.learning_rates(optimizer, job, data.order.steps)
    pretending.WAITS.clear()
    program.mean_loss(learner, data.held_out, job, ranks)
    measuring = dict(pretending.WAITS)
    learner.train()
    for step, positions in data.order.rows_from(0):
        pretending.WAITS.clear()
        chosen = [data.examples.all[position] for position in positions]
        program.learn(learner, chosen, job, ranks, step)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step == 1:
            break
    learning = dict(pretending.WAITS)
    weights, state = get_state_dict(learner, optimizer, options=_OPTIONS)
    moments = [part for each in optimizer.state.values() for part in each.values()]
    pretending.tell(
        measuring=measuring,
        learning=learning,
        batches=len(program.lay_out([len(row.tokens) for row in chosen], world, job.machine.micro_batch_tokens)),
        devices=sorted({each.device.type for each in (*learner.parameters(), *learner.buffers(), *moments)}),
        dtypes=sorted({str(weight.dtype) for weight in learner.parameters() if weight.requires_grad}),
        state=len(weights) + len(state),
        peak=speed.peak,
        attention=learner.model.config._attn_implementation,
    )
