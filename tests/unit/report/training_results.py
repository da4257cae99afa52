"""The results of three trainings as in `results.json`: realistic numbers, the same each time."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

SETTINGS: dict[str, Any] = {
    "base_model": "meta-llama/Llama-2-7b-hf",
    "method": "full",
    "precision": "bf16",
    "epochs": 3,
    "batch_size": 128,
    "learning_rate": 2e-5,
    "max_length": 512,
    "loss_on": "response",
    "prompt": "alpaca",
}


def curve(steps: int, end: float, most: int = 200, seed: int = 1) -> list[dict[str, Any]]:
    """A loss that falls fast at first and then from epoch to epoch, with its noise."""
    chance, points = random.Random(seed), []
    for index in range(min(steps, most)):
        step = round((index + 1) * steps / min(steps, most))
        share = step / steps
        fallen = end + 0.12 * (3 - min(math.ceil(share * 3), 3)) + 0.75 * math.exp(-60 * share)
        rate = 2e-5 * (share / 0.03 if share < 0.03 else 0.5 + 0.5 * math.cos(math.pi * (share - 0.03) / 0.97))
        norm = 1.1 + 3 * math.exp(-40 * share) + chance.gauss(0, 0.08)
        points.append(
            {"step": step, "loss": fallen + chance.gauss(0, 0.035), "learning_rate": rate, "gradient_norm": norm}
        )
    return points


def done(rows: int, end: float, after: float, **changes: Any) -> dict[str, Any]:
    """A training that is done, on four GPUs."""
    steps = math.ceil(rows / 128) * 3
    tokens = rows * 3 * 187
    drawn = curve(steps, end, seed=rows)
    measured = {
        "state": "done",
        "why": "",
        "rows": rows,
        "rows_truncated": rows // 400,
        "rows_dropped": 0,
        "tokens": tokens,
        "loss_tokens": tokens * 45 // 100,
        "steps": steps,
        "seconds": tokens / 38_412.5,
        "tokens_per_second": 38_412.5,
        "mfu": 0.3927,
        "processes": 4,
        "device": "NVIDIA H200",
        "memory_bytes": 98_412_331_008,
        "loss_first": drawn[0]["loss"],
        "loss_last": drawn[-1]["loss"],
        "cost_usd": tokens / 38_412.5 / 3600 * 4 * 3.5,
        "held_out": {"dataset": "test", "rows": 1000, "before": 1.6231, "after": after},
        "curve": drawn,
        "model": "training/quality/checkpoint",
    }
    return SETTINGS | measured | changes


def not_done(state: str, why: str, **changes: Any) -> dict[str, Any]:
    """A training that has only its settings."""
    return {"state": state, "why": why, **SETTINGS, **changes}


def trainings(**changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The paper's three: the selected rows, as many at random, and all of them."""
    three = {
        "quality": done(9229, 0.94, 1.0742),
        "random": done(9229, 0.99, 1.1088, seconds=140.2, model="training/random/checkpoint"),
        "full": done(52_002, 0.91, 1.0913, model="training/full/checkpoint"),
    }
    return {name: each | changes.get(name, {}) for name, each in three.items()}
