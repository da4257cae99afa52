"""Selects attention and cross-entropy kernels: the fastest that reproduce the reference of the unsharded model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from alpaqual.errors import MachineError
from alpaqual.job import Job
from alpaqual.trainers.fsdp_job.attention import kernel_candidates, set_attention
from alpaqual.trainers.fsdp_job.batches import pack
from alpaqual.trainers.fsdp_job.loss import ModelWithLoss, to_device
from alpaqual.trainers.fsdp_job.model import compute_dtype
from alpaqual.trainers.fsdp_job.ranks import Ranks
from alpaqual.trainers.fsdp_job.reference import Reference, relative_distance
from alpaqual.trainers.fsdp_job.tokenization import Example

_LOGITS_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}
"""Largest relative distance of logits, by compute dtype."""
_LOSS_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def choose_sample_rows(examples: Sequence[Example], max_tokens: int = 48) -> list[Example]:
    """Take the beginnings of two rows, each with loss from its first loss token on, or on its last token."""
    chosen = [example for example in examples if example.loss_tokens][:2]
    tokens = [each.tokens[:max_tokens] for each in chosen]
    found = [
        Example(each.id, cut, ((min(each.loss[0][0], len(cut) - 1 or 1), len(cut)),))
        for each, cut in zip(chosen, tokens, strict=True)
    ]
    return (found * 2)[:2]


def select_kernels(model: ModelWithLoss, reference: Reference, rows: Sequence[Example], job: Job, ranks: Ranks) -> str:
    """Set the fastest correct attention and cross-entropy kernels on the sharded model. Returns a log line.

    `reference` is of the same two `rows`, run before the model was sharded. Raises MachineError where sharding changed the
    logits, or where a kernel that the recipe names is not correct for this model.
    """
    device = reference.logits.device
    alone = [model(to_device(pack([row]), device), return_logits=True).detach() for row in rows]
    unpacked = torch.cat(alone)  # (tokens of both rows, vocabulary)
    difference = relative_distance(unpacked, reference.logits)
    if difference > _LOGITS_TOLERANCE[compute_dtype(job)]:
        raise MachineError(
            f"sharded logits differ from unsharded ones by {difference:.1%}; nothing was trained: please report this "
            "model's architecture"
        )
    attention = _select_attention(model, unpacked, rows, job, ranks)
    cross_entropy = _select_cross_entropy(model, to_device(pack(rows), device), reference, job)
    return f"attention {attention}, cross entropy {cross_entropy}"


def _select_attention(
    model: ModelWithLoss, unpacked: torch.Tensor, rows: Sequence[Example], job: Job, ranks: Ranks
) -> str:
    """Set the first candidate whose logits of packed rows are those of the rows by themselves."""
    packed = to_device(pack(rows), unpacked.device)
    # The same tokens as a single row: how far the logits move where rows do attend to each other.
    tokens = packed["input_ids"].shape[1]
    as_one_row = dict(packed, position_ids=torch.arange(tokens, device=unpacked.device)[None])
    as_one_row["cu_seqlens"] = torch.tensor([0, tokens], dtype=torch.int32, device=unpacked.device)
    second = slice(len(rows[0].tokens), None)  # tokens of the second row, which could attend to the first
    mixed = relative_distance(model(as_one_row, return_logits=True)[second].detach(), unpacked[second])
    # In bf16 two kernels differ by rounding; that has to stay well below what attending across rows would change.
    tolerance = _LOGITS_TOLERANCE[torch.float32]
    if compute_dtype(job) is torch.bfloat16:
        tolerance = max(tolerance, min(_LOGITS_TOLERANCE[torch.bfloat16], mixed / 2))
    rejected: dict[str, str] = {}
    for kernel in kernel_candidates(job.machine.attention, unpacked.device):
        try:
            set_attention(model, kernel, job.text.max_length)
            found = model(packed, return_logits=True).detach()[second]
            difference = relative_distance(found, unpacked[second])
            if difference > tolerance:
                rejected[kernel] = f"packed rows attend to each other (logits differ by {difference:.1%})"
        except (RuntimeError, ValueError, ImportError, TypeError, OSError) as error:
            rejected[kernel] = " ".join(str(error).split())[:200]
        # All ranks take the same kernel: a kernel that one rank rejected is rejected on all.
        if ranks.all_reduce_sum(kernel in rejected) == [0.0]:
            return kernel
    reasons = "; ".join(f"{kernel}: {reason}" for kernel, reason in rejected.items())
    raise MachineError(f"training.attention: no kernel keeps packed rows apart for this model: {reasons}")


def _select_cross_entropy(model: ModelWithLoss, batch: dict[str, torch.Tensor], reference: Reference, job: Job) -> str:
    """Set the wanted loss where it is the model's own; `auto` prefers chunked and falls back to model."""
    wanted = job.machine.cross_entropy
    model.cross_entropy = "model"
    if wanted == "model":
        return wanted
    if reference.has_linear_head:
        reason = _compare_losses(model, batch, "chunked" if wanted == "auto" else wanted, job)
    else:
        reason = "the model scales, caps or otherwise changes its logits"
    if not reason:
        return model.cross_entropy
    if wanted != "auto":
        raise MachineError(
            f"training.cross_entropy: {wanted} is not correct for this model: {reason}; remove the setting"
        )
    model.cross_entropy = "model"
    return "model"


def _compare_losses(model: ModelWithLoss, batch: dict[str, torch.Tensor], candidate: str, job: Job) -> str:
    """Set `candidate` and compare its loss with the model's own. Returns why it is not correct, or an empty text."""
    own = model(batch).item()
    model.cross_entropy = candidate
    try:
        loss = model(batch).item()
    except (AttributeError, RuntimeError, ImportError, TypeError) as error:
        return " ".join(str(error).split())[:200]
    if abs(loss - own) <= _LOSS_TOLERANCE[compute_dtype(job)] * abs(own):
        return ""
    return f"its loss is {loss:.6g}, the model's own is {own:.6g}"
