"""Attention kernels over packed rows: torch's variable-length attention, and one row at a time."""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from alpaqual.llm._local_loading import caps_attention
from alpaqual.trainers.fsdp_job.loss import ModelWithLoss

_PREFIX = "alpaqual_"
# These kernels take the row boundaries as cu_seqlens; the others take a block-diagonal mask.
_TAKE_CU_SEQLENS = ("varlen", "by_row", "flash_attention_2")


def kernel_candidates(wanted: str, device: torch.device) -> list[str]:
    """The kernels to try, fastest first."""
    if wanted != "auto":
        return [wanted]
    if device.type != "cuda":
        return ["by_row", "sdpa", "eager"]
    return ["flash_attention_2", "varlen", "sdpa", "eager"]


def set_attention(model: ModelWithLoss, kernel: str, max_row_tokens: int) -> None:
    """Set the model's attention kernel.

    Raises ValueError, ImportError or what transformers raises where the model cannot use it.
    """
    if kernel == "sdpa" and caps_attention(model.model.config):
        raise ValueError("the model's attention has softcap")
    own = _varlen_kernel() if kernel == "varlen" else {"by_row": _by_row}.get(kernel)
    if own is not None:
        from transformers import AttentionInterface

        AttentionInterface.register(_PREFIX + kernel, own)
    model.max_seqlen = max_row_tokens if kernel in _TAKE_CU_SEQLENS else None
    model.model.set_attn_implementation(kernel if own is None else _PREFIX + kernel)


def _varlen_kernel() -> Any:
    """FlashAttention as torch ships it: query (1, heads, T, head_dim) in, (1, T, heads, head_dim) out.

    The parameters of this torch version are inspected once, here: inside the compiled layers that would break the graph.
    """
    from torch.nn.attention.varlen import varlen_attn

    known = frozenset(inspect.signature(varlen_attn).parameters)

    def varlen(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> tuple[Any, None]:
        _check_plain(options)
        # Key and value heads are repeated in the kernel's own layout: its gradients have the layout of its inputs.
        query, key, value = (each[0].transpose(0, 1) for each in (query, key, value))  # each (T, heads, head_dim)
        key, value = _repeat_heads(query, key, value)
        starts, longest = options["cu_seq_lens_q"], options["max_length_q"]  # (rows + 1,)
        window = options.get("sliding_window")
        more: dict[str, Any] = {"scale": options.get("scaling")} if "scale" in known else {}
        if "window_size" in known:
            more["window_size"] = (-1 if window is None else window - 1, 0)
        elif window is None or window >= longest:
            more["is_causal"] = True
        else:
            raise ValueError("this torch has no attention over a sliding window")
        return varlen_attn(query, key, value, starts, starts, longest, longest, **more)[None], None

    return varlen


def _by_row(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> tuple[Any, None]:
    """One row at a time, faster on a CPU than a mask over all rows; shapes as in `_varlen_kernel`."""
    _check_plain(options)
    window, starts = options.get("sliding_window"), options["cu_seq_lens_q"].tolist()
    if window is not None and window < options["max_length_q"]:
        raise ValueError("a sliding window is shorter than a row")
    key, value = _repeat_heads(query, key, value)
    sizes = [end - start for start, end in pairwise(starts)]
    rows = zip(query.split(sizes, dim=2), key.split(sizes, dim=2), value.split(sizes, dim=2), strict=True)
    found = [scaled_dot_product_attention(q, k, v, is_causal=True, scale=options.get("scaling")) for q, k, v in rows]
    return torch.cat(found, dim=2).transpose(1, 2).contiguous(), None


def _check_plain(options: dict[str, Any]) -> None:
    """Raises ValueError where the model's attention is more than a softmax over dot products."""
    more = [option for option in ("softcap", "s_aux") if options.get(option) is not None]
    if more:
        raise ValueError(f"the model's attention has {', '.join(more)}")


def _repeat_heads(query: Any, key: Any, value: Any) -> tuple[Any, Any]:
    """Repeat key and value heads, in dimension 1, for grouped-query attention."""
    groups = query.shape[1] // key.shape[1]
    if groups == 1:
        return key, value
    return key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
