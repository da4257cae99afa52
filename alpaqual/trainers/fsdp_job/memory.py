"""How much memory a job takes on each device, estimated before the model is loaded."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from alpaqual.errors import MachineError
from alpaqual.job import Job
from alpaqual.trainers.fsdp_job.model import compute_dtype
from alpaqual.trainers.fsdp_job.ranks import Ranks

_GIB = 2**30
# Share of a device's memory that tensors can use; the rest is the driver's, and gaps between tensors.
_USABLE = 0.92


@dataclass(frozen=True)
class Estimate:
    """Bytes on each device.

    `state` is of sharded weights, gradients and optimizer; `gathered` of the layers that are whole at once; `activations` of a
    micro-batch, `checkpointed` of one with activation checkpointing.
    """

    state: int
    gathered: int
    activations: int
    checkpointed: int

    def total(self, checkpointing: bool) -> int:
        """All bytes together."""
        return self.state + self.gathered + (self.checkpointed if checkpointing else self.activations)

    def describe(self, checkpointing: bool) -> str:
        """The estimate as a log line."""
        held = self.checkpointed if checkpointing else self.activations
        how = "with activation checkpointing" if checkpointing else "without activation checkpointing"
        return (
            f"about {self.total(checkpointing) / _GIB:.1f} GiB a device: {self.state / _GIB:.1f} for weights, gradients and optimizer, "
            f"{self.gathered / _GIB:.1f} for gathered layers, {held / _GIB:.1f} for a micro-batch {how}"
        )


def estimate(job: Job, model: Any, shards: int, compiled: bool) -> Estimate:
    """Estimate from a model on the meta device, with its adapters, sharded over `shards` ranks."""
    compute = compute_dtype(job).itemsize  # bytes
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    frozen = sum(weight.numel() for weight in model.parameters() if not weight.requires_grad)
    # Weights, gradients and AdamW's two moments in fp32: 16 bytes. Frozen weights in the compute dtype, or in 4 bits.
    frozen_bytes = 0.55 if job.method == "qlora" else float(compute)
    state = round((trained * 16 + frozen * frozen_bytes) / shards)
    text = model.config.get_text_config()
    layers, width, vocabulary = text.num_hidden_layers, text.hidden_size, text.vocab_size
    parameters = trained + frozen
    embeddings = min(parameters, 2 * vocabulary * width)
    # Gathered at once: the embeddings, the head, and two layers; and one layer's gradient in fp32.
    gathered = round((embeddings + 2 * (parameters - embeddings) / layers) * compute + trained / layers * 4)
    tokens = max(job.machine.micro_batch_tokens, job.text.max_length)
    # Values that a layer saves for the backward pass, per token. Uncompiled: both norms (input in fp32, and output), query, key and
    # value before and after the rotation, attention's output, two residual sums, and four of the MLP's width. Compiled, values
    # that are cheap to recompute are not saved. No kernel used here saves the attention matrix.
    inner = getattr(text, "intermediate_size", None) or 4 * width
    layer = tokens * compute * (8 * width + 3 * inner if compiled else 18 * width + 4 * inner)
    logits = min(tokens, 1024) * vocabulary * 12
    inputs = tokens * width * compute * layers
    return Estimate(state, gathered, layer * layers + logits, inputs + layer + logits)


def usable_memory(device: torch.device) -> int | None:
    """Bytes that tensors can use on the device; None on a CPU."""
    return round(torch.cuda.mem_get_info(device)[1] * _USABLE) if device.type == "cuda" else None


def peak_memory(device: torch.device) -> int | None:
    """Peak bytes of tensors on the device (CUDA), or of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def choose_checkpointing(job: Job, meta_model: Any, ranks: Ranks) -> tuple[bool, str]:
    """Whether to use activation checkpointing, and the estimate as a log line.

    Raises MachineError where weights, gradients and optimizer alone do not fit.
    """
    guess = estimate(job, meta_model, ranks.mesh.size(-1), should_compile(job, ranks))
    available = usable_memory(ranks.device)
    checkpointing = job.machine.activation_checkpointing
    if checkpointing is None:
        checkpointing = available is not None and guess.total(False) > available
    line = guess.describe(checkpointing)
    if available is None:
        return checkpointing, line
    if guess.state > available:
        raise MachineError(f"{line}; a device has {available / _GIB:.1f} GiB: {advice(job)}")
    tight = f": if it runs out of memory, {advice(job)}" if guess.total(checkpointing) > available else ""
    return checkpointing, f"{line}; {available / _GIB:.1f} GiB are available{tight}"


def warn_about_disk(job: Job, meta_model: Any, folder: Path) -> str:
    """A warning where checkpoints may fill the disk, or an empty text. Each holds weights and two moments in fp32."""
    if job.machine.checkpoint_steps is None and job.machine.checkpoint_minutes is None:
        return ""
    one = 12 * sum(weight.numel() for weight in meta_model.parameters() if weight.requires_grad)
    # While one is written, those that are kept are still on the disk.
    wanted, free = one * (job.machine.checkpoints_kept + 1), shutil.disk_usage(folder).free
    if wanted <= free:
        return ""
    return (
        f"checkpoints of {one / _GIB:.1f} GiB each may fill the disk: there are up to {job.machine.checkpoints_kept + 1} at once, and "
        f"{free / _GIB:.1f} GiB are free; one that cannot be written is skipped. training.checkpoints sets how many are kept"
    )


def should_compile(job: Job, ranks: Ranks) -> bool:
    """Whether to compile layers. By default on CUDA only, and not with qlora: 4-bit layers break the graph dozens of times."""
    if job.machine.compile is None:
        return ranks.device.type == "cuda" and job.method != "qlora"
    return job.machine.compile


def advice(job: Job) -> str:
    """What to change when memory runs out, cheapest first."""
    set_to = {None: "not set", True: "true", False: "false"}[job.machine.activation_checkpointing]
    return (
        f"lower training.micro_batch_tokens (it is {job.machine.micro_batch_tokens}), set training.activation_checkpointing: true "
        f"(it is {set_to}), train adapters (training.method: lora or qlora), or use more GPUs"
    )
