"""How much memory a job takes on each device, before anything is loaded."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from alpaqual.errors import MachineError
from alpaqual.job import Job
from alpaqual.trainers.fsdp_job.model import dtype_of
from alpaqual.trainers.fsdp_job.ranks import Ranks

_GIB = 2**30
# What of a device's memory a program can have, beside the driver's part and gaps between tensors.
_USABLE = 0.92


@dataclass(frozen=True)
class Estimate:
    """Bytes on each device: of weights with gradients and optimiser, and of one micro-batch with and without checkpointing."""

    state: int
    gathered: int
    activations: int
    checkpointed: int

    def total(self, checkpointing: bool) -> int:
        """Bytes in all."""
        return self.state + self.gathered + (self.checkpointed if checkpointing else self.activations)

    def words(self, checkpointing: bool) -> str:
        """The estimate for a person."""
        held = self.checkpointed if checkpointing else self.activations
        how = "with activation checkpointing" if checkpointing else "without activation checkpointing"
        return (
            f"about {self.total(checkpointing) / _GIB:.1f} GiB a device: {self.state / _GIB:.1f} for weights, gradients and optimiser, "
            f"{self.gathered / _GIB:.1f} for gathered layers, {held / _GIB:.1f} for a micro-batch {how}"
        )


def estimate(job: Job, model: Any, shards: int, compiled: bool) -> Estimate:
    """Of a model without memory (on the meta device, adapters in it), sharded over so many processes."""
    compute = dtype_of(job).itemsize
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    frozen = sum(weight.numel() for weight in model.parameters() if not weight.requires_grad)
    # Weights, gradients and AdamW's two moments in fp32; frozen ones as they are computed with, or in 4 bits.
    frozen_bytes = 0.55 if job.method == "qlora" else float(compute)
    state = round((trained * 16 + frozen * frozen_bytes) / shards)
    text = model.config.get_text_config()
    layers, width, vocabulary = text.num_hidden_layers, text.hidden_size, text.vocab_size
    numbers = trained + frozen
    outer = min(numbers, 2 * vocabulary * width)
    # The outermost weights and two layers are whole at once, and one layer's gradient in fp32.
    gathered = round((outer + 2 * (numbers - outer) / layers) * compute + trained / layers * 4)
    tokens = max(job.machine.micro_batch_tokens, job.text.max_length)
    # Numbers of one token that a layer keeps for the backward pass. As modules compute it: both norms (their input in fp32, and
    # what comes of it), query, key and value before and after the rotation, attention's result, two sums, and four of the inner
    # width; compiled, what is cheap to compute again is not kept. Attention's own matrix is kept by no kernel here.
    inner = getattr(text, "intermediate_size", None) or 4 * width
    layer = tokens * compute * (8 * width + 3 * inner if compiled else 18 * width + 4 * inner)
    logits = min(tokens, 1024) * vocabulary * 12
    inputs = tokens * width * compute * layers
    return Estimate(state, gathered, layer * layers + logits, inputs + layer + logits)


def room(device: torch.device) -> int | None:
    """Bytes that a job can have on the device; None where that is not known."""
    return round(torch.cuda.mem_get_info(device)[1] * _USABLE) if device.type == "cuda" else None


def used(device: torch.device) -> int | None:
    """Most bytes that tensors took on the device so far (CUDA), or that the process has taken."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fit(job: Job, outline: Any, ranks: Ranks) -> tuple[bool, str]:
    """Whether activations are computed twice, and how much memory is needed, in words.

    Raises MachineError where the weights alone cannot fit.
    """
    compiled = compiles(job, ranks)
    guess, there = estimate(job, outline, ranks.mesh.size(-1), compiled), room(ranks.device)
    checkpointing = job.machine.activation_checkpointing
    if checkpointing is None:
        checkpointing = there is not None and guess.total(False) > there
    words = guess.words(checkpointing)
    if there is None:
        return checkpointing, words
    if guess.state > there:
        raise MachineError(f"{words}; a device has {there / _GIB:.1f} GiB: {advice(job)}")
    tight = f": if it runs out, {advice(job)}" if guess.total(checkpointing) > there else ""
    return checkpointing, f"{words}; there are {there / _GIB:.1f}{tight}"


def space(job: Job, outline: Any, folder: Path) -> str:
    """What to say where checkpoints may not find room on the disk: weights and two moments in fp32, one more than are kept."""
    if job.machine.checkpoint_steps is None and job.machine.checkpoint_minutes is None:
        return ""
    one = 12 * sum(weight.numel() for weight in outline.parameters() if weight.requires_grad)
    wanted, free = one * (job.machine.checkpoints_kept + 1), shutil.disk_usage(folder).free
    if wanted <= free:
        return ""
    return (
        f"checkpoints of {one / _GIB:.1f} GiB each may fill the disk: up to {job.machine.checkpoints_kept + 1} lie beside each other, and "
        f"{free / _GIB:.1f} GiB are free; one that cannot be written is left out. training.checkpoints says how many are kept"
    )


def compiles(job: Job, ranks: Ranks) -> bool:
    """Whether layers are compiled: unless the job says otherwise on CUDA alone, and not over 4 bits, which break a layer into dozens of pieces."""
    if job.machine.compile is None:
        return ranks.device.type == "cuda" and job.method != "qlora"
    return job.machine.compile


def advice(job: Job) -> str:
    """What to do when memory ends, in the order in which it costs least."""
    set_to = {None: "left out", True: "true", False: "false"}[job.machine.activation_checkpointing]
    return (
        f"lower training.micro_batch_tokens (it is {job.machine.micro_batch_tokens}), set training.activation_checkpointing: true "
        f"(it is {set_to}), train adapters (training.method: lora or qlora), or use more GPUs"
    )
