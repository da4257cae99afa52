"""What is shown before the first step: sharding changed nothing, packed rows do not see each other, the loss is the model's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from alpaqual.errors import MachineError
from alpaqual.job import Job
from alpaqual.trainers.fsdp_job.attention import candidates, use
from alpaqual.trainers.fsdp_job.batches import micro_batch
from alpaqual.trainers.fsdp_job.loss import Learner, tensors
from alpaqual.trainers.fsdp_job.model import dtype_of
from alpaqual.trainers.fsdp_job.ranks import Ranks
from alpaqual.trainers.fsdp_job.texts import Example

_CLOSE = {torch.float32: 1e-4, torch.bfloat16: 0.1}
"""Largest distance of logits, of their length, by what is computed with."""


def sample(examples: Sequence[Example], tokens: int = 48) -> list[Example]:
    """The beginnings of two rows, with something to learn in each."""
    chosen = [example for example in examples if example.loss_tokens][:2]
    return [
        Example(each.id, each.tokens[:tokens], min(each.learned, min(len(each.tokens), tokens) - 1 or 1))
        for each in (chosen * 2)[:2]
    ]


def prove(learner: Learner, said: torch.Tensor, rows: Sequence[Example], job: Job, ranks: Ranks) -> str:
    """Choose the quickest attention and loss that are right for this model; what was chosen, in words.

    `said` are the logits of `rows` (tokens of all rows, vocabulary), read one by one before the model was sharded.
    Raises MachineError where what a recipe names is not right for this model.
    """
    compute = dtype_of(job)
    device = said.device
    packed = tensors(micro_batch(rows), device)
    mixed = dict(packed, positions=torch.arange(packed["tokens"].shape[1], device=device)[None])
    mixed["starts"] = torch.tensor([0, packed["tokens"].shape[1]], dtype=torch.int32, device=device)
    alone = torch.cat([learner(tensors(micro_batch([row]), device), logits=True).detach() for row in rows])
    if _distance(alone, said) > _CLOSE[compute]:
        raise MachineError(
            f"the model says something else once it is sharded (logits {_distance(alone, said):.1%} apart): nothing was trained; "
            "please report this model's architecture"
        )
    second = slice(len(rows[0].tokens), None)
    seen = _distance(learner(mixed, logits=True)[second].detach(), alone[second])
    refused: dict[str, str] = {}
    for attention in candidates(job.machine.attention, device):
        try:
            use(learner, attention, job.text.max_length)
            apart = _distance(learner(packed, logits=True).detach()[second], alone[second])
            # In bf16 two kernels differ a little; rows that see each other differ as much as when nothing keeps them apart.
            close = compute is torch.bfloat16 and apart <= min(_CLOSE[compute], seen / 2)
            if apart > _CLOSE[torch.float32] and not close:
                refused[attention] = f"rows of a micro-batch see each other (logits {apart:.1%} apart)"
        except (RuntimeError, ValueError, ImportError, TypeError, OSError) as error:
            refused[attention] = " ".join(str(error).split())[:200]
        # What one process cannot do none does: they gather each other's weights.
        if ranks.total(attention in refused) == [0.0]:
            break
    else:
        reasons = "; ".join(f"{attention}: {reason}" for attention, reason in refused.items())
        raise MachineError(f"training.attention: no kernel keeps rows of a micro-batch apart for this model: {reasons}")
    return f"attention {attention}, cross entropy {_choose_loss(learner, packed, job)}"


def _choose_loss(learner: Learner, batch: dict[str, torch.Tensor], job: Job) -> str:
    learner.cross_entropy = "model"
    wanted = job.machine.cross_entropy
    if wanted == "model":
        return wanted
    own = learner(batch).item()
    learner.cross_entropy = "chunked" if wanted == "auto" else wanted
    try:
        other = learner(batch).item()
    except (AttributeError, RuntimeError, ImportError, TypeError) as error:
        other, reason = float("nan"), " ".join(str(error).split())[:200]
    else:
        reason = f"it gives {other:.6g} where the model gives {own:.6g}"
    # A head that scales or caps its logits is more than a matrix.
    if abs(other - own) <= (1e-5 if dtype_of(job) is torch.float32 else 1e-2) * abs(own):
        return learner.cross_entropy
    if wanted != "auto":
        raise MachineError(f"training.cross_entropy: {wanted} is not right for this model: {reason}; leave it out")
    learner.cross_entropy = "model"
    return "model"


def _distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())
