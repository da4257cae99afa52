"""Metrics of a job: speed, model FLOPs utilisation, memory, and one line of metrics.jsonl a step."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from alpaqual.disk import replace_file
from alpaqual.job_folder import METRICS, RUN_TIME, metrics_in, read_json
from alpaqual.trainers._devices import peak_of
from alpaqual.trainers.fsdp_job import memory
from alpaqual.trainers.fsdp_job.batches import Order
from alpaqual.trainers.fsdp_job.ranks import Ranks
from alpaqual.trainers.fsdp_job.tokenization import Example


def device_name(device: torch.device) -> str:
    """The name of a GPU, or CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def flops_per_token(model: Any, row_tokens: float) -> tuple[float, float]:
    """FLOPs of forward and backward pass per token, in rows of a mean length: of the layers, and of the head per loss token.

    6 for each weight that a token is multiplied with (4 where it is frozen: no gradient of its own), and 6 for each layer,
    head width and preceding token, as attention is causal (Kaplan et al. 2020, section 2.1; PaLM, appendix B). Recomputation
    by activation checkpointing does not count. Only loss tokens pass through the head.
    """
    embeddings, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    matrices = [each for each in model.parameters() if each.ndim >= 2 and each is not embeddings and each is not head]
    weights = sum((6 if each.requires_grad else 4) * each.numel() for each in matrices)
    text = model.config.get_text_config()
    width = text.num_attention_heads * (getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)
    attention = 6.0 * text.num_hidden_layers * width * row_tokens
    return weights + attention, (6.0 if head.requires_grad else 4.0) * head.numel()


@dataclass(frozen=True)
class Flops:
    """`layers` and `head` are FLOPs per token and per loss token, `peak` FLOP/s of all devices (None: unknown)."""

    layers: float
    head: float
    peak: float | None
    device: torch.device

    @classmethod
    def of(cls, meta_model: Any, row_tokens: float, ranks: Ranks) -> Flops:
        """Of a model on the meta device, in rows of a mean length in tokens."""
        peak = peak_of(device_name(ranks.device))
        per_token = flops_per_token(meta_model, row_tokens)
        return cls(*per_token, None if peak is None else peak * ranks.world_size, ranks.device)

    def mfu(self, tokens: int, loss_tokens: int, seconds: float) -> float | None:
        """Model FLOPs utilisation: a step's FLOPs over what the devices could have done in that time."""
        if self.peak is None:
            return None
        return (tokens * self.layers + loss_tokens * self.head) / seconds / self.peak


class Metrics:
    """Writes metrics.jsonl: one line a step. Lines of steps that a resumed job repeats are removed.

    `done` is the number of steps before this attempt, `launched` when its launcher started, in seconds since 1970.
    """

    def __init__(self, folder: Path, done: int, launched: float, flops: Flops, *, tensorboard: bool) -> None:
        self.flops = flops
        path = folder / METRICS
        self.lines = [line for line in metrics_in(folder) if line["step"] <= done] if done else []
        self.step_seconds: float = self.lines[-1]["elapsed_seconds"] if self.lines else 0.0
        """Seconds of all steps, without those that were repeated."""
        self.run_time_file = folder / RUN_TIME
        before = read_json(self.run_time_file) or {}
        # Processes that torchrun restarts have the same launcher, whose time has been counted up to `until`.
        since = max(launched, before.get("until", 0.0))
        self.started: float = time.monotonic() - max(0.0, time.time() - since) - before.get("seconds", 0.0)
        """On the monotonic clock, as if all attempts had run without a break."""
        replace_file(path, "".join(json.dumps(line) + "\n" for line in self.lines))
        self.file: TextIO = path.open("a", encoding="utf-8")
        self.tensorboard: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)
        self.step_started = time.perf_counter()

    def start_clock(self) -> None:
        """Start the first step's clock."""
        self.step_started = time.perf_counter()

    def log_step(self, number: int, order: Order, rows: Sequence[Example], values: dict[str, float]) -> None:
        """Write the line of a step that has ended: its `values`, speed and memory."""
        now = time.perf_counter()
        seconds, self.step_started = now - self.step_started, now
        self.step_seconds += seconds
        tokens, loss_tokens = sum(len(row.tokens) for row in rows), sum(row.loss_tokens for row in rows)
        self.write({
            "step": number,
            "steps": order.steps,
            "epoch": round(number / order.steps_per_epoch, 4),
            **values,
            "rows": len(rows),
            "tokens": tokens,
            "loss_tokens": loss_tokens,
            "seconds": seconds,
            "elapsed_seconds": self.step_seconds,
            "tokens_per_second": tokens / seconds,
            "mfu": self.flops.mfu(tokens, loss_tokens, seconds),
            "memory_bytes": memory.peak_memory(self.flops.device),
        })  # fmt: skip

    def write(self, line: dict[str, Any]) -> None:
        """Append a line, and its numbers to TensorBoard."""
        self.lines.append(line)
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        for name, value in line.items() if self.tensorboard is not None else ():
            if name != "step" and isinstance(value, int | float):
                self.tensorboard.add_scalar(name, value, line["step"])

    def run_time(self) -> float:
        """Seconds of all attempts, which are also stored for the next one."""
        seconds = time.monotonic() - self.started
        replace_file(self.run_time_file, json.dumps({"seconds": seconds, "until": time.time()}) + "\n")
        return seconds

    def flush(self) -> None:
        """Wait until all lines are on the disk: a checkpoint has the lines of its steps."""
        self.file.flush()
        os.fsync(self.file.fileno())

    @property
    def held_out_loss_before(self) -> float | None:
        """The held-out loss before the first step."""
        return next((line["held_out_loss"] for line in self.lines if not line["step"]), None)

    def describe_last(self, steps: int) -> str:
        """The last step as a log line; `steps` is the number of all steps."""
        last = self.lines[-1]
        left = (steps - last["step"]) * self.step_seconds / last["step"]
        parts = [f"step {last['step']}/{steps}", f"loss {last['loss']:.4f}", f"norm {last['gradient_norm']:.3f}"]
        parts += [f"lr {last['learning_rate']:.2e}", f"{last['tokens_per_second']:,.0f} tokens/s"]
        parts += [] if last["mfu"] is None else [f"MFU {last['mfu']:.1%}"]
        parts += [] if last["memory_bytes"] is None else [f"{last['memory_bytes'] / 2**30:.1f} GiB"]
        return "  ".join([*parts, f"{left / 60:.1f} min left"])

    def close(self) -> None:
        """Close the files."""
        self.file.close()
        if self.tensorboard is not None:
            self.tensorboard.close()
