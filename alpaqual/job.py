"""A training job as plain values: everything that a trainer needs. On disk it is `job.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 1


class JobError(ValueError):
    """A job that cannot be done; the message names the setting or the file."""


@dataclass(frozen=True)
class Model:
    """The base model: a folder or GGUF file (`path`), a name on the hub (`name`), or random weights of a `config`.

    Exactly one of the three is set. `tokenizer` is a folder, GGUF file or hub name; None where it is the model's own.
    """

    path: str | None = None
    name: str | None = None
    config: Mapping[str, Any] | None = None
    tokenizer: str | None = None
    digest: str = ""
    """sha256 over the files of `path`; empty for a hub name or random weights."""
    tokenizer_digest: str = ""
    """The same for `tokenizer`."""


@dataclass(frozen=True)
class Lora:
    """LoRA adapters, scaled by alpha / rank. `targets` None is every linear layer but the head; `output` merged or adapter."""

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...] | None
    output: str


@dataclass(frozen=True)
class Text:
    """How a row is tokenized: `prompt` alpaca or chat, `loss_on` response, last or all, `too_long` truncate or drop."""

    prompt: str
    loss_on: str
    max_length: int
    too_long: str


@dataclass(frozen=True)
class Steps:
    """Optimisation. `batch_size` is in rows, over all processes; `clip` None does not clip."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    warmup_ratio: float
    weight_decay: float
    clip: float | None
    seed: int


@dataclass(frozen=True)
class Machine:
    """Settings that change speed and memory, not what is learned."""

    micro_batch_tokens: int
    activation_checkpointing: bool | None
    compile: bool | None
    attention: str
    cross_entropy: str
    replicas: int
    checkpoint_steps: int | None
    checkpoint_minutes: float | None
    checkpoints_kept: int
    tensorboard: bool
    price_per_gpu_hour: float | None


@dataclass(frozen=True)
class Launch:
    """Where the job runs: `processes` of each node, None for one a GPU; `slurm` and `kubernetes` as in the recipe."""

    start: str
    nodes: int
    processes: int | None
    rendezvous: str | None
    environment: Mapping[str, str]
    slurm: Mapping[str, Any] | None
    kubernetes: Mapping[str, Any] | None


@dataclass(frozen=True)
class Job:
    """Training one model on one dataset. Paths are relative to the folder of `job.json`, or absolute.

    `data` and `held_out` are JSON Lines of triples (id, instruction, input, output) and conversations (id, messages, tools); rows of `data` whose id is in `held_out` are not
    trained on, and the jobs of exports have a `data` without them. `key` is the sha256 over all that decides the weights: a
    checkpoint or model of another key is another job's. `method` is full, lora or qlora; `precision` bf16 or fp32.
    """

    recipe: str
    dataset: str
    data: str
    model: Model
    method: str
    lora: Lora
    text: Text
    steps: Steps
    precision: str
    machine: Machine
    launch: Launch
    key: str = ""
    data_sha256: str = ""
    held_out: str | None = None
    held_out_sha256: str = ""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """For the manifest: recipe, sources, graders and base model, by digest."""
    version: int = VERSION


def to_json(job: Job) -> str:
    """The text of `job.json`."""
    return json.dumps(dataclasses.asdict(job), indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Job:
    """Parse a `job.json`.

    Raises JobError where the text is not a job of this version.
    """
    try:
        values = json.loads(text)
        if values.get("version") != VERSION:
            raise JobError(f"job.json has version {values.get('version')}; this alpaqual reads version {VERSION}")
        parts = {"model": Model, "lora": Lora, "text": Text, "steps": Steps, "machine": Machine, "launch": Launch}
        read = {name: part(**values[name]) for name, part in parts.items()}
        if read["lora"].targets is not None:
            read["lora"] = dataclasses.replace(read["lora"], targets=tuple(read["lora"].targets))
        return Job(**{**values, **read})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise JobError(f"job.json is not a job: {error}") from None
