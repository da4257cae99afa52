"""What the whole model computes before it is sharded: the reference that kernels are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

_PROBE_TOKENS = 8
_PROBE_RANGE = 1000.0
_SAME_HIDDEN = 1e-3
"""Largest relative distance of two runs of the same decoder: some GPU kernels sum in no fixed order."""


@dataclass(frozen=True)
class Reference:
    """Of some rows: `logits` (tokens of all rows, vocabulary) in fp32, each row run by itself.

    `has_linear_head` is whether the logits are the output embeddings of the decoder's last hidden state, unchanged.
    """

    logits: torch.Tensor
    has_linear_head: bool

    def to(self, device: torch.device | str) -> Reference:
        """Copy it to a device."""
        return Reference(self.logits.to(device), self.has_linear_head)


def set_eval_mode(model: Any) -> None:
    """Turn dropout off; 4-bit layers stay in training mode."""
    model.eval()
    for module in model.modules():
        # On a CPU a 4-bit layer in eval mode repacks its weights for good, and sharding loses track of them.
        if type(module).__name__ == "Linear4bit":
            module.train()


def compute_reference(model: Any, rows: Sequence[Sequence[int]]) -> Reference:
    """Run the whole model on rows of token ids, in eval mode and without packing."""
    device = next(model.parameters()).device
    set_eval_mode(model)
    inputs = [torch.tensor([row], device=device) for row in rows]  # each (1, T)
    with torch.no_grad():
        logits = [model(input_ids=ids, use_cache=False).logits[0] for ids in inputs]  # each (T, vocabulary)
    return Reference(torch.cat(logits).float(), has_linear_head(model, inputs[0]))


def has_linear_head(model: Any, input_ids: torch.Tensor) -> bool:
    """Check that the model's logits are `head(decoder(input_ids))` and nothing else, in value and gradient.

    Some models scale the hidden state or the logits, or cap the logits (Gemma 2, Cohere, Granite, MiniCPM3). A random model's
    logits are too small to show a cap, and bf16 rounds a small one away. So the outputs of decoder and head are replaced by
    probes from -1000 to 1000, and what the model makes of them has to be the probes themselves, bit by bit.
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    if decoder is model or head is None:
        return False
    ids = input_ids[:, :_PROBE_TOKENS]  # (1, T)
    inputs = {"position_ids": torch.arange(ids.shape[1], device=ids.device)[None], "use_cache": False}
    with torch.no_grad():
        wanted_hidden = getattr(decoder(input_ids=ids, **inputs), "last_hidden_state", None)  # (1, T, width)
    if wanted_hidden is None:
        return False
    seen: dict[str, torch.Tensor] = {}

    def replace_hidden(module: Any, arguments: Any, output: Any) -> Any:
        seen["hidden"] = output.last_hidden_state
        seen["hidden_probe"] = _probe(output.last_hidden_state, output.last_hidden_state.dtype)
        output.last_hidden_state = seen["hidden_probe"].clone()
        return output

    def record_head_input(module: Any, arguments: Any) -> None:
        seen.update(zip(["head_input"], arguments, strict=False))

    def replace_logits(module: Any, arguments: Any, output: Any) -> Any:
        seen["logits_probe"] = _probe(output, torch.float32)
        # Cloned: a model that scales in place may not do so to a leaf.
        return seen["logits_probe"].clone()

    hooks = [
        decoder.register_forward_hook(replace_hidden),
        head.register_forward_pre_hook(record_head_input),
        head.register_forward_hook(replace_logits),
    ]
    try:
        logits = model(input_ids=ids, **inputs).logits  # (1, T, vocabulary)
    finally:
        for hook in hooks:
            hook.remove()
    if seen.keys() != {"hidden", "hidden_probe", "head_input", "logits_probe"}:
        return False
    return (
        relative_distance(seen["hidden"].detach(), wanted_hidden) <= _SAME_HIDDEN
        and _is_identity(seen["hidden_probe"], seen["head_input"])
        and _is_identity(seen["logits_probe"], logits)
    )


def relative_distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The norm of the difference over the norm of `wanted`."""
    return float((found - wanted).norm() / wanted.norm())


def _probe(like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A leaf of the shape of `like` with values spread from -1000 to 1000."""
    values = torch.linspace(-_PROBE_RANGE, _PROBE_RANGE, like.numel(), device=like.device).to(dtype)
    return values.view(like.shape).requires_grad_()


def _is_identity(probe: torch.Tensor, output: torch.Tensor) -> bool:
    """Whether `output` has the values of `probe` and passes a gradient to it unchanged."""
    if output.shape != probe.shape or not output.requires_grad:
        return False
    cotangent = torch.linspace(-1.0, 1.0, output.numel(), device=output.device).to(output.dtype).view(output.shape)
    (gradient,) = torch.autograd.grad(output, probe, cotangent)
    values = relative_distance(output.detach().float(), probe.detach().float())
    return values == 0.0 and relative_distance(gradient.float(), cotangent.float()) == 0.0
