"""A KV cache that grows in place: transformers' own copies all keys and values for each new token."""

from __future__ import annotations

from functools import cache
from typing import Any

_SPARE = 64
"""Tokens that a cache has space for beyond those it holds, at least."""


def grow_in_place(whole: Any) -> None:
    """Replace the layers of a `transformers` cache that only append; windows and other kinds stay as they are."""
    from transformers.cache_utils import DynamicLayer

    layers = getattr(whole, "layers", [])
    for index, layer in enumerate(layers):
        if type(layer) is DynamicLayer and layer.is_initialized:
            layers[index] = _kind()(layer)


def appends(layer: Any) -> bool:
    """Whether a layer of a cache holds keys and values of its own: all of them, or those of a window."""
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    kinds = (DynamicLayer, DynamicSlidingWindowLayer, _kind())
    # A layer that shares the keys of another one is never initialized.
    return type(layer) in kinds and bool(layer.is_initialized)


@cache
def _kind() -> type:
    """The class of the layer, made when torch is there."""
    import torch
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[misc]
        """Keys and values (batch, heads, tokens, size) as views of longer buffers."""

        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
            self.keys, self.values = layer.keys, layer.values
            self.buffers: tuple[Any, ...] = ()
            self.shown: Any = None
            """The keys as the last update left them: others were put in their place since."""

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            """Append keys and values; returns all of them."""
            before = self.keys.shape[-2]
            after = before + key_states.shape[-2]
            if self.keys is not self.shown or after > self.buffers[0].shape[-2]:
                space = after + max(_SPARE, after // 8)
                self.buffers = tuple(_longer(torch, each, space) for each in (self.keys, self.values))
            for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
                buffer[..., before:after, :] = new
            self.keys, self.values = (buffer[..., :after, :] for buffer in self.buffers)
            self.shown = self.keys
            return self.keys, self.values

    return GrowingLayer


def _longer(torch: Any, values: Any, space: int) -> Any:
    """A buffer with `space` tokens that begins with these values."""
    buffer = torch.empty((*values.shape[:-2], space, values.shape[-1]), dtype=values.dtype, device=values.device)
    buffer[..., : values.shape[-2], :] = values
    return buffer
