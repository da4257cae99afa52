"""Peak speed of GPUs, from their data sheets."""

from __future__ import annotations

from itertools import pairwise

_PEAKS = {
    "H200 NVL": 835e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H200": 989e12,
    "GH200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "4090": 165e12,
    "A10": 125e12,
    "V100": 125e12,
    "L4": 121e12,
}


def peak_of(name: str) -> float | None:
    """Peak FLOP/s of a GPU in bf16 without sparsity (fp16 for older ones), by its name; None for an unknown one."""
    words = name.replace("-", " ").split()
    pairs = [" ".join(pair) for pair in pairwise(words)]
    return next((_PEAKS[word] for word in (*pairs, *words) if word in _PEAKS), None)
