"""The loss, inside the forward pass that FSDP wraps: there and nowhere else are the head's weights whole."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from alpaqual.trainers.fsdp_job.batches import MicroBatch

_CHUNK = 1024
"""Tokens whose logits are held at once."""


class Learner(nn.Module):  # type: ignore[misc]
    """A causal language model with its loss. `cross_entropy` is model, chunked or liger.

    The forward pass takes a micro-batch of T tokens and gives the summed loss of its learned tokens, in fp32.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.cross_entropy = "model"
        self.longest: int | None = None
        """Tokens of the longest row where the attention kernel is told where rows begin; None where a mask says it."""
        words = inspect.signature(model.forward).parameters
        self.keeps = "logits_to_keep" in words

    def forward(self, batch: dict[str, torch.Tensor], *, logits: bool = False) -> torch.Tensor:
        """The loss; with `logits`, those of all T tokens (T, vocabulary) in fp32."""
        words: dict[str, Any] = {"input_ids": batch["tokens"], "position_ids": batch["positions"], "use_cache": False}
        if self.longest is not None:
            words |= {"cu_seq_lens_q": batch["starts"], "cu_seq_lens_k": batch["starts"]}
            words |= {"max_length_q": self.longest, "max_length_k": self.longest}
        if logits:
            # A copy: FSDP hooks what a forward pass returns, and a view of it would lose the hook.
            return self.model(**words).logits[0].float().clone()
        at, targets = batch["at"], batch["targets"]
        if not len(targets):
            # Nothing to learn here, and still every weight takes part: the others wait for its gradient.
            return self.model(**words).logits.float().sum() * 0.0
        if self.cross_entropy == "model":
            words |= {"logits_to_keep": at} if self.keeps else {}
            found = self.model(**words).logits[0]
            return _summed(found if self.keeps else found[at], targets)
        hidden = self.model.get_decoder()(**words).last_hidden_state[0][at]
        head = self.model.get_output_embeddings()
        if self.cross_entropy == "liger":
            return _liger(hidden, head, targets)
        return _chunked(hidden, head, targets)


def tensors(batch: MicroBatch, device: torch.device) -> dict[str, torch.Tensor]:
    """A micro-batch on a device: `tokens` and `positions` (1, T), `starts` (rows + 1,), `at` and `targets` (learned,)."""

    def there(values: Sequence[Any], dtype: torch.dtype = torch.long) -> torch.Tensor:
        # From pinned memory: else the device would have to be done with all before it, and stand still until the next layers come.
        return torch.tensor(values, dtype=dtype, pin_memory=device.type == "cuda").to(device, non_blocking=True)

    return {
        "tokens": there([batch.tokens]),
        "positions": there([batch.positions]),
        "starts": there(batch.starts, torch.int32),
        "at": there(batch.at),
        "targets": there(batch.targets),
    }


def _summed(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


def _chunked(hidden: torch.Tensor, head: nn.Module, targets: torch.Tensor) -> torch.Tensor:
    """The same sum with the logits of _CHUNK tokens at a time, made again for the backward pass."""

    def part(states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return _summed(head(states), wanted)

    sums = [
        checkpoint(part, hidden[start : start + _CHUNK], targets[start : start + _CHUNK], use_reentrant=False)
        for start in range(0, len(targets), _CHUNK)
    ]
    return torch.stack(sums).sum()


def _liger(hidden: torch.Tensor, head: nn.Module, targets: torch.Tensor) -> torch.Tensor:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    fused = LigerFusedLinearCrossEntropyLoss(reduction="sum", accum_dtype=torch.float32)
    found: torch.Tensor = fused(head.weight, hidden, targets, head.bias)
    return found.float()
