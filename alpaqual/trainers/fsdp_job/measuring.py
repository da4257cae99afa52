"""What a job is measured by: speed, model FLOPs utilisation, memory; and the line of each step."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from alpaqual.job_folder import METRICS, metrics_in, read_json
from alpaqual.trainers._devices import peak_of
from alpaqual.trainers.fsdp_job import memory
from alpaqual.trainers.fsdp_job.batches import Order
from alpaqual.trainers.fsdp_job.ranks import Ranks
from alpaqual.trainers.fsdp_job.texts import Example


def device_name(device: torch.device) -> str:
    """What the device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def flops_a_token(model: Any, length: float) -> tuple[float, float]:
    """Operations of the forward and backward pass of one token, in rows of a mean `length`: of the layers, and of the head.

    6 for each weight that a token is multiplied with (4 where it is frozen: no gradient of its own), and 6 for each layer,
    head width and token before it, as attention looks back only (Kaplan et al. 2020, section 2.1; PaLM, appendix B). What is
    computed twice to save memory does not count. Only learned tokens pass through the head.
    """
    inner, outer = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    matrices = [each for each in model.parameters() if each.ndim >= 2 and each is not inner and each is not outer]
    weights = sum((6 if each.requires_grad else 4) * each.numel() for each in matrices)
    text = model.config.get_text_config()
    width = text.num_attention_heads * (getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)
    return weights + 6.0 * text.num_hidden_layers * width * length, (
        6.0 if outer.requires_grad else 4.0
    ) * outer.numel()


@dataclass(frozen=True)
class Speed:
    """What a step is measured by: operations of a token in the layers and in the head, FLOP/s of all devices (None: unknown)."""

    layers: float
    head: float
    peak: float | None
    device: torch.device

    @classmethod
    def of(cls, outline: Any, length: float, ranks: Ranks) -> Speed:
        """Of a model without memory, in rows of a mean `length` in tokens."""
        peak = peak_of(device_name(ranks.device))
        return cls(*flops_a_token(outline, length), None if peak is None else peak * ranks.world, ranks.device)

    def mfu(self, tokens: int, learned: int, seconds: float) -> float | None:
        """Model FLOPs utilisation: useful operations of what the devices could have done."""
        return None if self.peak is None else (tokens * self.layers + learned * self.head) / seconds / self.peak


class Metrics:
    """`metrics.jsonl` of a folder: one line a step; lines of steps that a resumed job does again are taken out.

    `done` is how many steps go before, `began` when this attempt was started, in seconds since 1970.
    """

    def __init__(self, folder: Path, done: int, began: float, speed: Speed, *, tensorboard: bool) -> None:
        self.speed = speed
        path = folder / METRICS
        self.kept = [line for line in metrics_in(folder) if line["step"] <= done] if done else []
        self.spent: float = self.kept[-1]["elapsed_seconds"] if self.kept else 0.0
        """Seconds of the steps that count."""
        self.lived_file = folder / "lived.json"
        told = read_json(self.lived_file) or {}
        # Processes that torchrun starts again have the same launcher, whose time is counted up to here already.
        since = max(began, told.get("until", 0.0))
        self.started: float = time.monotonic() - max(0.0, time.time() - since) - told.get("seconds", 0.0)
        """By this machine's clock, as if all attempts were one."""
        _replace(path, self.kept)
        self.file: TextIO = path.open("a", encoding="utf-8")
        self.writer: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)
        self.last = time.perf_counter()

    def start(self) -> None:
        """The first step begins now."""
        self.last = time.perf_counter()

    def step(self, number: int, order: Order, rows: Sequence[Example], found: dict[str, float]) -> None:
        """A step has ended: write what was `found`, and how fast it went."""
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        self.spent += seconds
        tokens, learned = sum(len(row.tokens) for row in rows), sum(row.loss_tokens for row in rows)
        self.write({
            "step": number,
            "steps": order.steps,
            "epoch": round(number / order.steps_of_epoch, 4),
            **found,
            "rows": len(rows),
            "tokens": tokens,
            "loss_tokens": learned,
            "seconds": seconds,
            "elapsed_seconds": self.spent,
            "tokens_per_second": tokens / seconds,
            "mfu": self.speed.mfu(tokens, learned, seconds),
            "memory_bytes": memory.used(self.speed.device),
        })  # fmt: skip

    def write(self, line: dict[str, Any]) -> None:
        """Write a line."""
        self.kept.append(line)
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        for word, value in line.items() if self.writer is not None else ():
            if word != "step" and isinstance(value, int | float):
                self.writer.add_scalar(word, value, line["step"])

    def lived(self) -> float:
        """Seconds of all attempts; what they come to is kept for the next one."""
        seconds = time.monotonic() - self.started
        _replace(self.lived_file, [{"seconds": seconds, "until": time.time()}])
        return seconds

    def flush(self) -> None:
        """Wait until the disk has every line: a checkpoint that is there has its steps' lines."""
        self.file.flush()
        os.fsync(self.file.fileno())

    @property
    def held_out_before(self) -> float | None:
        """The loss of held-out rows before the first step."""
        return next((line["held_out_loss"] for line in self.kept if not line["step"]), None)

    def line(self, steps: int) -> str:
        """The last of so many steps for a person."""
        at = self.kept[-1]
        left = (steps - at["step"]) * self.spent / at["step"]
        words = [f"step {at['step']}/{steps}", f"loss {at['loss']:.4f}", f"norm {at['gradient_norm']:.3f}"]
        words += [f"lr {at['learning_rate']:.2e}", f"{at['tokens_per_second']:,.0f} tokens/s"]
        words += [] if at["mfu"] is None else [f"MFU {at['mfu']:.1%}"]
        words += [] if at["memory_bytes"] is None else [f"{at['memory_bytes'] / 2**30:.1f} GiB"]
        return "  ".join([*words, f"{left / 60:.1f} min left"])

    def close(self) -> None:
        """Write what is left."""
        self.file.close()
        if self.writer is not None:
            self.writer.close()


def _replace(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    half = path.with_suffix(".tmp")
    half.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    half.replace(path)
