"""Rows of tokens of different lengths through a causal model at once, without one row changing another.

Rows are padded on the left, so that they end together: the last logits of all rows lie in one column, and what is added goes
behind all of them. Positions count from each row's first token; padding is masked.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.errors import MachineError


@dataclass
class Past:
    """What has been read: `ids` and `mask` are (rows, tokens); `cache` is None where the model keeps none that can be repeated."""

    ids: Any
    mask: Any
    cache: Any


class Forward:
    """One model's forward pass. Logits are (rows, kept, vocabulary), of the last `kept` positions."""

    def __init__(self, model: Any, device: str, pad: int) -> None:
        self.model = model
        self.device = device
        self.pad = pad
        words = inspect.signature(model.forward).parameters
        if "attention_mask" not in words:
            raise MachineError(f"{type(model).__name__} cannot read rows of different lengths: use another model")
        self.takes = frozenset(words) & {"position_ids", "logits_to_keep"}

    def read(self, rows: Sequence[Sequence[int]], kept: int, *, cached: bool = False) -> tuple[Any, Past]:
        """Read rows from their beginning; with `cached`, the keys and values are kept to go on from."""
        import torch

        longest = max(len(row) for row in rows)
        padded = [[self.pad] * (longest - len(row)) + list(row) for row in rows]
        masks = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        past = Past(torch.tensor(padded, device=self.device), torch.tensor(masks, device=self.device), None)
        return self._run(past, past.ids, kept, cached), past

    def go_on(self, past: Past, ids: Any) -> Any:
        """Read `ids` (rows, new) behind what was read; the logits of the new positions. `past` then holds them too."""
        import torch

        past.ids = torch.cat([past.ids, ids], dim=1)
        past.mask = torch.cat([past.mask, torch.ones_like(ids)], dim=1)
        if past.cache is None:
            # A model that keeps none, or one that cannot take several tokens at once: all is read again.
            return self._run(past, past.ids, ids.shape[1], False)
        return self._run(past, ids, ids.shape[1], True)

    def _run(self, past: Past, ids: Any, kept: int, cached: bool) -> Any:
        words: dict[str, Any] = {"input_ids": ids, "attention_mask": past.mask, "use_cache": cached}
        if "position_ids" in self.takes:
            words["position_ids"] = (past.mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if "logits_to_keep" in self.takes:
            words["logits_to_keep"] = kept
        if past.cache is not None:
            words["past_key_values"] = past.cache
        out = self.model(**words)
        past.cache = out.past_key_values if cached and _repeatable(getattr(out, "past_key_values", None)) else None
        return out.logits[:, -kept:]


def repeated(past: Past, times: int) -> Past:
    """A copy with each row `times` times, one after the other; the original stays as it is."""
    cache = copy.deepcopy(past.cache)
    if cache is not None and times > 1:
        cache.batch_repeat_interleave(times)
    return Past(past.ids.repeat_interleave(times, dim=0), past.mask.repeat_interleave(times, dim=0), cache)


def held(past: Past) -> int:
    """Bytes of the cache."""
    import torch

    layers = getattr(past.cache, "layers", ())
    tensors = (value for layer in layers for value in vars(layer).values() if isinstance(value, torch.Tensor))
    return sum(tensor.nbytes for tensor in tensors)


def _repeatable(cache: Any) -> bool:
    """Whether a cache is of keys and values alone: a recurrent state takes one token at a time."""
    from transformers import Cache

    layers = getattr(cache, "layers", ())
    kinds = {kind.__name__ for layer in layers for kind in type(layer).__mro__}
    return isinstance(cache, Cache) and bool(layers) and not any("LinearAttention" in kind for kind in kinds)
