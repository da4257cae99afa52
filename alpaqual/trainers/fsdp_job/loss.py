"""The loss, computed inside the forward pass that FSDP wraps: only there are the head's weights gathered."""

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
"""Tokens whose logits are held in memory at once."""


class ModelWithLoss(nn.Module):  # type: ignore[misc]
    """A causal language model with its loss. `cross_entropy` is model, chunked or liger.

    The forward pass takes a micro-batch of T tokens and returns the summed loss of its N loss tokens, a scalar in fp32.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.cross_entropy = "model"
        self.max_seqlen: int | None = None
        """Most tokens of a row, for attention kernels that take `cu_seqlens`; None for kernels that take a mask."""
        self.takes_logits_to_keep = "logits_to_keep" in inspect.signature(model.forward).parameters

    def forward(self, batch: dict[str, torch.Tensor], *, return_logits: bool = False) -> torch.Tensor:
        """Return the summed loss; with `return_logits`, the logits of all tokens (T, vocabulary) in fp32."""
        inputs: dict[str, Any] = {
            "input_ids": batch["input_ids"],  # (1, T)
            "position_ids": batch["position_ids"],  # (1, T)
            "use_cache": False,
        }
        if self.max_seqlen is not None:
            inputs |= {"cu_seq_lens_q": batch["cu_seqlens"], "cu_seq_lens_k": batch["cu_seqlens"]}  # (rows + 1,)
            inputs |= {"max_length_q": self.max_seqlen, "max_length_k": self.max_seqlen}
        if return_logits:
            # Cloned: FSDP registers hooks on the output, and a view would lose them.
            return self.model(**inputs).logits[0].float().clone()  # (T, vocabulary)
        positions, targets = batch["loss_positions"], batch["targets"]  # (N,), (N,)
        if not len(targets):
            # No loss here, yet every weight takes part: the other ranks wait for its gradient.
            return self.model(**inputs).logits.float().sum() * 0.0
        if self.cross_entropy == "model":
            if self.takes_logits_to_keep:
                return _summed_loss(self.model(**inputs, logits_to_keep=positions).logits[0], targets)
            return _summed_loss(self.model(**inputs).logits[0][positions], targets)
        hidden = self.model.get_decoder()(**inputs).last_hidden_state[0][positions]  # (N, width)
        head = self.model.get_output_embeddings()
        if self.cross_entropy == "liger":
            return _liger_loss(hidden, head, targets)
        return _chunked_loss(hidden, head, targets)


def to_device(batch: MicroBatch, device: torch.device) -> dict[str, torch.Tensor]:
    """Copy a micro-batch of T tokens and N loss tokens to a device, without waiting for the copy."""

    def tensor(values: Sequence[Any], dtype: torch.dtype = torch.long) -> torch.Tensor:
        # From pinned memory: a copy from pageable memory would wait for all kernels queued before it.
        return torch.tensor(values, dtype=dtype, pin_memory=device.type == "cuda").to(device, non_blocking=True)

    return {
        "input_ids": tensor([batch.input_ids]),  # (1, T)
        "position_ids": tensor([batch.position_ids]),  # (1, T)
        "cu_seqlens": tensor(batch.cu_seqlens, torch.int32),  # (rows + 1,)
        "loss_positions": tensor(batch.loss_positions),  # (N,)
        "targets": tensor(batch.targets),  # (N,)
    }


def _summed_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum the cross entropy of logits (N, vocabulary) and targets (N,), in fp32."""
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


def _chunked_loss(hidden: torch.Tensor, head: nn.Module, targets: torch.Tensor) -> torch.Tensor:
    """The same sum with the logits of _CHUNK tokens at a time, recomputed in the backward pass."""

    def chunk_loss(states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return _summed_loss(head(states), wanted)

    sums = [
        checkpoint(chunk_loss, hidden[start : start + _CHUNK], targets[start : start + _CHUNK], use_reentrant=False)
        for start in range(0, len(targets), _CHUNK)
    ]
    return torch.stack(sums).sum()


def _liger_loss(hidden: torch.Tensor, head: nn.Module, targets: torch.Tensor) -> torch.Tensor:
    """The same sum by liger-kernel's fused kernel, which takes a plain linear head."""
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    if type(head) is not nn.Linear:
        raise TypeError(f"the head is {type(head).__name__}, not a plain linear layer")
    fused = LigerFusedLinearCrossEntropyLoss(reduction="sum", accum_dtype=torch.float32)
    found: torch.Tensor = fused(head.weight, hidden, targets, head.bias)
    return found.float()
