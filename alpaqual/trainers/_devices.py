"""What devices can do, as their makers state it."""

from __future__ import annotations

_PEAKS = {
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
    return next((_PEAKS[word] for word in words if word in _PEAKS), None)
