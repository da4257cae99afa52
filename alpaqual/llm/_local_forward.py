"""Forward passes of a causal model over batches of sequences of different lengths.

Sequences are padded on the left, so that they end in the same column and can be extended together. Position ids count from
each sequence's first token, and padding is masked: no sequence changes the logits of another.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.errors import MachineError
from alpaqual.llm._local_cache import appends


@dataclass
class Prefix:
    """The tokens read so far: `ids` and `mask` are (batch, tokens); `cache` is the KV cache, None where it cannot be repeated."""

    ids: Any
    mask: Any
    cache: Any


class Forward:
    """One model's forward pass. Logits are (batch, kept, vocabulary), of the last `kept` positions."""

    def __init__(self, model: Any, device: str, pad: int) -> None:
        self.model = model
        self.device = device
        self.pad = pad
        parameters = inspect.signature(model.forward).parameters
        if "attention_mask" not in parameters:
            raise MachineError(f"{type(model).__name__} takes no attention mask: use another model")
        self.accepts = frozenset(parameters) & {"position_ids", "logits_to_keep"}

    def read(self, rows: Sequence[Sequence[int]], kept: int, *, cached: bool = False) -> tuple[Any, Prefix]:
        """Logits of the last `kept` positions; with `cached`, the prefix has a KV cache to extend."""
        import torch

        longest = max(len(row) for row in rows)
        padded = [[self.pad] * (longest - len(row)) + list(row) for row in rows]
        masks = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        prefix = Prefix(torch.tensor(padded, device=self.device), torch.tensor(masks, device=self.device), None)
        return self._run(prefix, prefix.ids, kept, cached), prefix

    def extend(self, prefix: Prefix, ids: Any) -> Any:
        """Append `ids` (batch, new) to a prefix; returns the logits (batch, new, vocabulary) of the new positions."""
        import torch

        prefix.ids = torch.cat([prefix.ids, ids], dim=1)
        prefix.mask = torch.cat([prefix.mask, torch.ones_like(ids)], dim=1)
        if prefix.cache is None:
            # A model without a KV cache: the whole sequence is computed again.
            return self._run(prefix, prefix.ids, ids.shape[1], False)
        return self._run(prefix, ids, ids.shape[1], True)

    def _run(self, prefix: Prefix, ids: Any, kept: int, cached: bool) -> Any:
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": prefix.mask, "use_cache": cached}
        if "position_ids" in self.accepts:
            inputs["position_ids"] = (prefix.mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if "logits_to_keep" in self.accepts:
            inputs["logits_to_keep"] = kept
        if prefix.cache is not None:
            inputs["past_key_values"] = prefix.cache
        out = self.model(**inputs)
        prefix.cache = out.past_key_values if cached and _repeatable(getattr(out, "past_key_values", None)) else None
        return out.logits[:, -kept:]

    def joins(self, prefix: Prefix) -> bool:
        """Whether other sequences can join a prefix that has been read."""
        return all(appends(layer) for layer in getattr(prefix.cache, "layers", ()))

    def join(self, first: Prefix, second: Prefix) -> Prefix:
        """Both as one prefix, the shorter one padded on the left; `joins` has to hold for both."""
        import torch

        width = max(first.ids.shape[1], second.ids.shape[1])
        for one, other in zip(*(getattr(each.cache, "layers", ()) for each in (first, second)), strict=True):
            kept = width if not one.is_sliding else min(width, one.sliding_window - 1)
            one.keys = torch.cat([_padded(one.keys, kept, 2), _padded(other.keys, kept, 2)])
            one.values = torch.cat([_padded(one.values, kept, 2), _padded(other.values, kept, 2)])
            if one.is_sliding:
                one.cumulative_length = width
        ids = torch.cat([_padded(each.ids, width, 1, self.pad) for each in (first, second)])
        mask = torch.cat([_padded(each.mask, width, 1) for each in (first, second)])
        return Prefix(ids, mask, first.cache)

    def select(self, prefix: Prefix, rows: Sequence[int], longest: int) -> None:
        """Keep some sequences of a prefix alone, the longest of which has `longest` tokens."""
        import torch

        chosen = torch.tensor(list(rows), device=self.device)
        cut = prefix.ids.shape[1] - longest
        prefix.ids, prefix.mask = prefix.ids[chosen], prefix.mask[chosen]
        if prefix.cache is not None:
            prefix.cache.batch_select_indices(chosen)
        if not cut or not self.joins(prefix):
            return
        prefix.ids, prefix.mask = prefix.ids[:, cut:], prefix.mask[:, cut:]
        for layer in getattr(prefix.cache, "layers", ()):
            kept = longest if not layer.is_sliding else min(longest, layer.sliding_window - 1)
            layer.keys, layer.values = layer.keys[:, :, -kept:], layer.values[:, :, -kept:]
            if layer.is_sliding:
                layer.cumulative_length = longest


def _padded(values: Any, width: int, dimension: int, fill: int = 0) -> Any:
    """A tensor whose dimension is `width` long, padded on its left."""
    from torch.nn.functional import pad

    behind = [0, 0] * (values.dim() - dimension - 1)
    return pad(values, [*behind, width - values.shape[dimension], 0], value=fill)


def repeat(prefix: Prefix, times: int) -> Prefix:
    """A copy with each sequence `times` times in a row."""
    cache = copy.deepcopy(prefix.cache)
    if cache is not None and times > 1:
        cache.batch_repeat_interleave(times)
    return Prefix(prefix.ids.repeat_interleave(times, dim=0), prefix.mask.repeat_interleave(times, dim=0), cache)


def cache_bytes(prefix: Prefix) -> int:
    """Bytes of the KV cache."""
    import torch

    layers = getattr(prefix.cache, "layers", ())
    tensors = (value for layer in layers for value in vars(layer).values() if isinstance(value, torch.Tensor))
    return sum(tensor.nbytes for tensor in tensors)


def _repeatable(cache: Any) -> bool:
    """Whether a cache holds keys and values alone; a recurrent state takes one token at a time."""
    from transformers import Cache

    layers = getattr(cache, "layers", ())
    kinds = {kind.__name__ for layer in layers for kind in type(layer).__mro__}
    return isinstance(cache, Cache) and bool(layers) and not any("LinearAttention" in kind for kind in kinds)
