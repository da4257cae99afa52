"""What devices can do, as their makers state it."""

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
    """FLOP/s in bf16 (fp16 where there is none) of a device of this name, without sparsity; None where nobody knows."""
    words = name.replace("-", " ").split()
    pairs = [" ".join(pair) for pair in pairwise(words)]
    return next((_PEAKS[word] for word in (*pairs, *words) if word in _PEAKS), None)
