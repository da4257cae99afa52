"""The processes of a job: who they are, and how they speak to each other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from alpaqual.job import JobError

# The first process reads a model while the others wait for it.
_PATIENCE = timedelta(hours=1)


@dataclass(frozen=True)
class Ranks:
    """`rank` of `world` processes; `mesh` is (shard,) or (replicate, shard); `writers` is a CPU group that only checkpoints use."""

    rank: int
    world: int
    device: torch.device
    mesh: DeviceMesh
    writers: Any

    @property
    def first(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def total(self, *values: float) -> list[float]:
        """The sum of each value over all processes."""
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    def told(self, value: Any) -> Any:
        """What the first process has."""
        box = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu") if self.device.type == "cpu" else self.device)
        return box[0]

    def gathered(self, value: Any) -> list[Any]:
        """What each process has, in order of rank."""
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return found


def join(replicas: int) -> Ranks:
    """Meet the other processes that torchrun started; alone where nobody did.

    Raises JobError where the processes cannot be split into so many replicas.
    """
    cuda = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    more: dict[str, Any] = {}
    if cuda:
        torch.cuda.set_device(device)
        more["device_id"] = device
    if "RANK" not in os.environ:
        more |= {"store": dist.HashStore(), "rank": 0, "world_size": 1}
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE, **more)
    world = dist.get_world_size()
    if world % replicas:
        raise JobError(f"launch.replicas: {world} processes cannot be split into {replicas} replicas of the same size")
    shape, names = ((world,), ("shard",)) if replicas == 1 else ((replicas, world // replicas), ("replicate", "shard"))
    mesh = init_device_mesh(device.type, shape, mesh_dim_names=names)
    return Ranks(dist.get_rank(), world, device, mesh, dist.new_group(backend="gloo", timeout=_PATIENCE))
