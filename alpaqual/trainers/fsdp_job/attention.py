"""Kernels of attention over packed rows, by name: torch's own for rows of different lengths, and one row after the other."""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from alpaqual.llm._local_loading import caps_attention
from alpaqual.trainers.fsdp_job.loss import Learner

_OURS = "alpaqual_"
# These are told where rows begin; a mask tells the others.
_TOLD = ("varlen", "by_row", "flash_attention_2")


def candidates(wanted: str, device: torch.device) -> list[str]:
    """Kernels to try, the quickest first."""
    if wanted != "auto":
        return [wanted]
    if device.type != "cuda":
        return ["by_row", "sdpa", "eager"]
    return ["flash_attention_2", "varlen", "sdpa", "eager"]


def use(learner: Learner, attention: str, longest: int) -> None:
    """Let the model compute attention so; `longest` is the most tokens of a row."""
    if attention == "sdpa" and caps_attention(learner.model.config):
        raise ValueError("the model's attention has softcap")
    own = _varlen_of_this_torch() if attention == "varlen" else {"by_row": _by_row}.get(attention)
    if own is not None:
        from transformers import AttentionInterface

        AttentionInterface.register(_OURS + attention, own)
    learner.longest = longest if attention in _TOLD else None
    learner.model.set_attn_implementation(attention if own is None else _OURS + attention)


def _varlen_of_this_torch() -> Any:
    """FlashAttention as torch brings it; (1, heads, T, width) in, (1, T, heads, width) out.

    What this version of torch takes is asked here, once: in the layers, which are compiled, not every version could follow.
    """
    from torch.nn.attention.varlen import varlen_attn

    known = frozenset(inspect.signature(varlen_attn).parameters)

    def varlen(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **words: Any) -> tuple[Any, None]:
        _check_plain(words)
        # Repeated as the kernel reads them: its gradients have the layout of what it was given.
        query, key, value = (each[0].transpose(0, 1) for each in (query, key, value))
        key, value = _repeated(query, key, value)
        starts, longest, window = words["cu_seq_lens_q"], words["max_length_q"], words.get("sliding_window")
        more: dict[str, Any] = {"scale": words.get("scaling")} if "scale" in known else {}
        if "window_size" in known:
            more["window_size"] = (-1 if window is None else window - 1, 0)
        elif window is None or window >= longest:
            more["is_causal"] = True
        else:
            raise ValueError("this torch has no attention over a sliding window")
        return varlen_attn(query, key, value, starts, starts, longest, longest, **more)[None], None

    return varlen


def _by_row(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **words: Any) -> tuple[Any, None]:
    """One row after the other: on a CPU quicker than a mask over all of them; shapes as above."""
    _check_plain(words)
    window, starts = words.get("sliding_window"), words["cu_seq_lens_q"].tolist()
    if window is not None and window < words["max_length_q"]:
        raise ValueError("a sliding window is shorter than a row")
    key, value = _repeated(query, key, value)
    sizes = [end - start for start, end in pairwise(starts)]
    rows = zip(query.split(sizes, dim=2), key.split(sizes, dim=2), value.split(sizes, dim=2), strict=True)
    found = [scaled_dot_product_attention(q, k, v, is_causal=True, scale=words.get("scaling")) for q, k, v in rows]
    return torch.cat(found, dim=2).transpose(1, 2).contiguous(), None


def _check_plain(words: dict[str, Any]) -> None:
    """Raises ValueError where a model's attention is more than a softmax over products."""
    more = [word for word in ("softcap", "s_aux") if words.get(word) is not None]
    if more:
        raise ValueError(f"the model's attention has {', '.join(more)}")


def _repeated(query: Any, key: Any, value: Any) -> tuple[Any, Any]:
    """Keys and values for each head of the query, where several share them; heads are in dimension 1."""
    groups = query.shape[1] // key.shape[1]
    if groups == 1:
        return key, value
    return key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
