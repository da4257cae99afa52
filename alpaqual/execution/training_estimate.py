"""Estimates the steps, tokens, time, US dollars and memory of training."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from alpaqual import job_folder
from alpaqual.amounts import duration
from alpaqual.execution.training import stored_rows, trained_folder
from alpaqual.job import Job
from alpaqual.llm.local import count_weights
from alpaqual.plan.plan import Plan
from alpaqual.plan.training import TrainStage
from alpaqual.store.store import Store
from alpaqual.trainers._chat import Row, is_conversation
from alpaqual.trainers._devices import peak_of

_BYTES_A_TOKEN = 4.0
# The prompt around a row, in tokens.
_TEMPLATE = 45
_USUAL_MFU = 0.4
_USUAL_DEVICE = "H100"


@dataclass(frozen=True)
class TrainingEstimate:
    """Of one dataset; None is unknown. `bytes` are those of weights, gradients and optimizer state on each device."""

    dataset: str
    rows: int | None
    steps: int | None
    tokens: int | None
    weights: int | None
    seconds: float | None
    usd: float | None
    bytes: int | None
    basis: str

    def __str__(self) -> str:
        if self.rows is None:
            return "rows are not selected yet, so time and cost are unknown"
        parts = [f"{self.rows:,} rows, {self.steps:,} steps, about {self.tokens:,} tokens"]
        parts += [_counted(self.weights)] if self.weights else []
        parts += [f"about {self.bytes / 2**30:.1f} GiB a device before activations"] if self.bytes else []
        parts += [f"about {duration(self.seconds)} ({self.basis})"] if self.seconds is not None else [self.basis]
        parts += [f"about ${self.usd:.2f}"] if self.usd is not None else []
        return ", ".join(parts)


def estimate_training(plan: Plan, store: Store, folder: Path) -> list[TrainingEstimate]:
    """What each job that is not done yet will take. `folder` is the run folder, where jobs of the same model were measured."""
    stages = [stage for stage in plan.of(TrainStage) if trained_folder(folder, stage, store) is None]
    return [_of(plan, store, folder, stage) for stage in stages]


def _of(plan: Plan, store: Store, folder: Path, stage: TrainStage) -> TrainingEstimate:
    job = stage.job
    weights = weights_of(plan, job)
    devices = job.launch.nodes * (job.launch.processes or max(gpus()[0], 1))
    held = None if weights is None else _held(job, weights, devices)
    data = stored_rows(stage, job.data, store)
    if data is None:
        return TrainingEstimate(job.dataset, None, None, None, weights, None, None, held, "")
    rows, tokens = _size(data, job)
    steps = math.ceil(rows / job.steps.batch_size) * job.steps.epochs
    seconds, basis = _time(job, folder, tokens, weights, devices)
    price = job.machine.price_per_gpu_hour
    usd = None if price is None or seconds is None else seconds / 3600 * devices * price
    return TrainingEstimate(job.dataset, rows, steps, tokens, weights, seconds, usd, held, basis)


def _time(job: Job, folder: Path, tokens: int, weights: int | None, devices: int) -> tuple[float | None, str]:
    """Seconds, and their basis: the speed measured here, else the GPU's peak."""
    if (speed := measured_speed(folder, job)) is not None:
        return tokens / speed, f"at the {speed:,.0f} tokens/s measured before"
    if weights is None:
        return None, "the time depends on the model, which is not on this machine"
    _, name = gpus()
    if not name and job.launch.start == "here" and job.launch.nodes == 1:
        return None, "no GPU here, and nothing measured yet"
    device = name or _USUAL_DEVICE
    peak = peak_of(device)
    if peak is None:
        return None, f"the speed of {device} is unknown"
    flops = (6 if job.method == "full" else 4) * weights * tokens
    return flops / (devices * peak * _USUAL_MFU), f"{devices} x {device} at {_USUAL_MFU:.0%} of its speed"


def _counted(weights: int) -> str:
    billions = weights / 1e9
    return f"{billions:.2f} billion weights" if billions >= 0.995 else f"{weights / 1e6:,.1f} million weights"


def _size(file: Path, job: Job) -> tuple[int, int]:
    """(rows, tokens of all epochs) of a dataset: four bytes a token and the prompt, at most the longest row."""
    rows = tokens = 0
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            texts = (
                _texts_of(row) if is_conversation(row) else (row[word] for word in ("instruction", "input", "output"))
            )
            size = sum(len(text.encode()) for text in texts)
            tokens += min(round(size / _BYTES_A_TOKEN) + _TEMPLATE, job.text.max_length)
            rows += 1
    return rows, tokens * job.steps.epochs


def _texts_of(row: Row) -> Iterator[str]:
    """The texts of a conversation: contents, calls and results, and its tools."""
    for turn in row["messages"]:
        yield turn["content"] or ""
        if "tool_calls" in turn:
            yield json.dumps(turn["tool_calls"], ensure_ascii=False)
    if "tools" in row:
        yield json.dumps(row["tools"], ensure_ascii=False)


def _held(job: Job, weights: int, devices: int) -> int:
    """Bytes on each device: 16 a trained weight; frozen ones in bf16, fp32 or 4 bits."""
    frozen = {"bf16": 2.0, "fp32": 4.0}[job.precision]
    a_weight = {"full": 16.0, "lora": frozen, "qlora": 0.55}[job.method]
    return round(weights * a_weight / (devices // job.machine.replicas or 1))


def weights_of(plan: Plan, job: Job) -> int | None:
    if job.model.config is not None:
        return _of_config(job.model.config)
    return None if job.model.path is None else count_weights(plan.recipe.folder / job.model.path)


def _of_config(config: Mapping[str, Any]) -> int | None:
    """The weights of a decoder with gated layers, which most are; None where the configuration lacks what they follow from."""
    try:
        width, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
        heads, words = config["num_attention_heads"], config["vocab_size"]
    except KeyError:
        return None
    head = config.get("head_dim") or width // heads
    attention = 2 * width * head * (heads + config.get("num_key_value_heads", heads))
    tied = 1 if config.get("tie_word_embeddings") else 2
    return int(layers * (attention + 3 * width * inner + 2 * width) + tied * words * width + width)


def gpus() -> tuple[int, str]:
    """(how many, their name) of this machine's NVIDIA GPUs; (0, "") where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0, ""
    try:
        listed = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, encoding="utf-8", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0, ""
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    return len(names), names[0] if names else ""


def measured_speed(folder: Path, job: Job) -> float | None:
    """Tokens a second of jobs in a run folder with the same model, settings and launch; None where there are none."""
    speeds, asked = [], msgspec.to_builtins(job)
    for path in sorted((folder / "training").glob(f"*/{job_folder.JOB}")):
        other, lines = job_folder.read_json(path), job_folder.steps_in(path.parent)
        words = ("model", "method", "lora", "precision", "text", "launch")
        same = other is not None and all(_comparable(other, word) == _comparable(asked, word) for word in words)
        # The first step includes compilation and allocation.
        if same and len(lines) > 1:
            speeds.append(sum(line["tokens"] for line in lines[1:]) / sum(line["seconds"] for line in lines[1:]))
    return speeds[-1] if speeds else None


def _comparable(job: Mapping[str, Any], word: str) -> Any:
    """A part of a job; of a model, the digests in place of the paths."""
    return {**job[word], "path": None, "tokenizer": None} if word == "model" else job[word]
