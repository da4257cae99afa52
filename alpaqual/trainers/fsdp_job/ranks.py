"""The process group of a job: its ranks, device and mesh, and the collectives that the job uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from alpaqual.job import JobError

# Rank 0 reads the whole model while the other ranks wait in a collective.
_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True)
class Ranks:
    """This process's rank in the process group.

    `mesh` has the dimensions (shard,) or (replicate, shard). `checkpoint_group` is a gloo group that only checkpoints use.
    """

    rank: int
    world_size: int
    device: torch.device
    mesh: DeviceMesh
    checkpoint_group: Any

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes files and prints."""
        return self.rank == 0

    def all_reduce_sum(self, *values: float) -> list[float]:
        """Sum each value over all ranks, in fp64."""
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)  # (values,)
        dist.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    def broadcast_from_rank0(self, value: Any) -> Any:
        """Return the value that rank 0 passed."""
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def all_gather(self, value: Any) -> list[Any]:
        """Return each rank's value, in order of rank."""
        found: list[Any] = [None] * self.world_size
        dist.all_gather_object(found, value)
        return found

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        self.all_reduce_sum(0.0)


def init_ranks(replicas: int) -> Ranks:
    """Initialise the process group that torchrun describes, or a group of one without torchrun.

    Raises JobError where the world size is not a multiple of `replicas`.
    """
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    options: dict[str, Any] = {}
    if cuda:
        torch.cuda.set_device(device)
        options["device_id"] = device
    if "RANK" not in os.environ:
        options |= {"store": dist.HashStore(), "rank": 0, "world_size": 1}
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_TIMEOUT, **options)
    world_size = dist.get_world_size()
    if world_size % replicas:
        raise JobError(
            f"launch.replicas: {world_size} processes cannot be split into {replicas} replicas of equal size"
        )
    if replicas == 1:
        mesh = init_device_mesh(device.type, (world_size,), mesh_dim_names=("shard",))
    else:
        shape = (replicas, world_size // replicas)
        mesh = init_device_mesh(device.type, shape, mesh_dim_names=("replicate", "shard"))
    return Ranks(dist.get_rank(), world_size, device, mesh, dist.new_group(backend="gloo", timeout=_TIMEOUT))
