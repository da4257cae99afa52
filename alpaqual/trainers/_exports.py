"""What the exports share: batch split, torchrun options, settings of transformers' trainer, and refusals."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alpaqual.job import Job
from alpaqual.trainers import _chat
from alpaqual.trainers._yaml import quoted

OUTPUT = "output"
MERGED = "merged"
PREPARED = ("train.jsonl", "held_out.jsonl")
PREPARE = ["python3", "prepare.py"]
TRAIN = ("bash", "train.sh")
CHAT = "chat_tokens.py"
"""A copy of the module that tokenizes chat rows for alpaqual's own job."""

_PREPARE = '''\
"""Writes the rows in the format of {tool}. Written by alpaqual."""

import json
import socket
from pathlib import Path

FILES = {files}


def convert(row):
{body}


for source, target in FILES.items():
    # Nodes share this folder: each writes a file of its own, and all rename it to the same name.
    part = Path(f"{{target}}.{{socket.gethostname()}}.part")
    with Path(source).open(encoding="utf-8") as rows, part.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(convert(json.loads(row))) + "\\n" for row in rows)
    part.replace(target)
'''

_PREPARE_CHAT = '''\
"""Writes the rows as tokens and labels, those of alpaqual's own job: {tool} reads them as they are. Written by alpaqual."""

import json
import shutil
import socket
from pathlib import Path

from transformers import AutoTokenizer

from chat_tokens import labelled, notes_on

FILES = {files}
SETTINGS = {settings}

tokenizer = AutoTokenizer.from_pretrained({tokenizer})
if not tokenizer.chat_template:
    raise SystemExit("The tokenizer has no chat template; set training.tokenizer to one that has, or prompt: alpaca")
found = {{}}
for target, source in FILES.items():
    with Path(source).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found[target] = labelled(rows, tokenizer, **SETTINGS)
    print(*notes_on(rows, tokenizer), f"{{source}}: {{len(found[target])}} rows, {{len(rows) - len(found[target])}} dropped", sep="\\n")
{write}
'''
LINES = """
for target, rows in found.items():
    # Nodes share this folder: each writes a file of its own, and all rename it to the same name.
    part = Path(f"{target}.{socket.gethostname()}.part")
    with part.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\\n" for row in rows)
    part.replace(target)"""
"""Python that writes `found`, the rows by target, as JSON Lines."""


def world_size(job: Job) -> int:
    """Processes that train together; one a node where the recipe leaves it open."""
    return job.launch.nodes * (job.launch.processes or 1)


def split_batch(job: Job) -> tuple[int, int]:
    """Rows of a micro-batch, and gradient accumulation steps: their product times the world size is the batch size.

    Raises ValueError where the batch cannot be divided.
    """
    rows_per_process, rest = divmod(job.steps.batch_size, world_size(job))
    if rest:
        raise ValueError(
            f"training.batch_size: {job.steps.batch_size} rows cannot be divided over the {world_size(job)} processes of "
            "training.launch (nodes times processes); change one of them"
        )
    most = max(1, job.machine.micro_batch_tokens // job.text.max_length)
    rows = max(rows for rows in range(1, min(rows_per_process, most) + 1) if rows_per_process % rows == 0)
    return rows, rows_per_process // rows


def base_model(job: Job) -> str:
    """The folder or hub name of the model.

    Raises ValueError where the job has neither.
    """
    if job.model.config is not None:
        raise ValueError(
            "training.base_model: only alpaqual trains random weights of a `config`; "
            "name a folder or a model of the hub to export this job"
        )
    model = job.model.path or job.model.name
    if not model:
        raise ValueError("training.base_model: the job has none")
    return _refuse_gguf(model, "training.base_model")


def tokenizer(job: Job) -> str | None:
    """The tokenizer's folder or name, where it is not the model's."""
    return None if job.model.tokenizer is None else _refuse_gguf(job.model.tokenizer, "training.tokenizer")


def _refuse_gguf(path: str, setting: str) -> str:
    if path.lower().endswith(".gguf"):
        raise ValueError(
            f"{setting}: only alpaqual reads a GGUF file; "
            "name the folder or the model of the hub that it was made from to export this job"
        )
    return path


def warmup_ratio(job: Job) -> float:
    """The share of steps that warm up. Raises ValueError for 1."""
    if job.steps.warmup_ratio >= 1:
        raise ValueError("training.warmup_ratio: the programs read 1 as one step; set a smaller value")
    return job.steps.warmup_ratio


def lora_alpha(job: Job) -> int:
    """The scale of adapters. Raises ValueError unless it is an integer."""
    if not float(job.lora.alpha).is_integer():
        raise ValueError(
            f"training.lora.alpha: exports need an integer, not {job.lora.alpha}; change it, and "
            "training.lora.rank and training.learning_rate with it"
        )
    return int(job.lora.alpha)


def uses_fsdp(job: Job) -> bool:
    """Whether FSDP2 shards the model; of 4-bit weights each process has a copy, as their state is lost in shards."""
    return world_size(job) > 1 and job.method != "qlora"


def uses_checkpointing(job: Job) -> bool:
    """Whether activations are recomputed in the backward pass."""
    return job.machine.activation_checkpointing is not False


def fsdp_config(job: Job) -> dict[str, Any]:
    """FSDP2 settings that the three programs share."""
    return {
        "reshard_after_forward": True,
        "cpu_ram_efficient_loading": False,
        "state_dict_type": "FULL_STATE_DICT",
        "activation_checkpointing": uses_checkpointing(job),
    }


def schedule_settings(job: Job) -> dict[str, Any]:
    """Optimisation settings that have the same name in the three programs, which use transformers' trainer."""
    return {
        "learning_rate": job.steps.learning_rate,
        "weight_decay": job.steps.weight_decay,
        # transformers' trainer does not clip at 0.
        "max_grad_norm": 0.0 if job.steps.clip is None else job.steps.clip,
        "seed": job.steps.seed,
        "bf16": job.precision == "bf16",
        "fp16": False,
    }


def trainer_arguments(job: Job) -> dict[str, Any]:
    """transformers' TrainingArguments, as LLaMA-Factory and TRL read them; the warm-up has a name of each."""
    rows, accumulation = split_batch(job)
    return {
        "output_dir": OUTPUT,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": accumulation,
        "per_device_eval_batch_size": rows,
        "num_train_epochs": float(job.steps.epochs),
        "optim": "adamw_torch",
        "lr_scheduler_type": job.steps.schedule,
        **schedule_settings(job),
        **logging_settings(job),
        "report_to": "tensorboard" if job.machine.tensorboard else "none",
    }


def logging_settings(job: Job) -> dict[str, Any]:
    """When checkpoints are written and held-out rows are evaluated, in the words of transformers' trainer."""
    steps = job.machine.checkpoint_steps
    save = {"save_strategy": "epoch"} if steps is None else {"save_strategy": "steps", "save_steps": steps}
    evaluate = {} if job.held_out is None else {"eval_strategy": "epoch", "eval_on_start": True}
    return {"logging_steps": 1, **save, "save_total_limit": job.machine.checkpoints_kept, **evaluate}


def kernel_settings(job: Job) -> dict[str, Any]:
    """Attention and compilation, as axolotl and TRL name them."""
    machine = job.machine
    settings: dict[str, Any] = {}
    if machine.attention in ("sdpa", "eager", "flash_attention_2"):
        settings["attn_implementation"] = machine.attention
    return settings | compile_settings(job)


def compile_settings(job: Job) -> dict[str, Any]:
    """`torch_compile`, where the recipe sets it."""
    return {} if job.machine.compile is None else {"torch_compile": job.machine.compile}


def torchrun_options(job: Job) -> list[str]:
    """Options of torchrun for one node.

    torchrun starts a single process, too: without it, transformers' trainer spreads every batch over all GPUs.
    """
    processes = f"--nproc_per_node={job.launch.processes or 1}"
    if job.launch.nodes == 1:
        return ["--standalone", processes]
    host, port = rendezvous(job)
    address = [f"--rdzv_endpoint={host}:{port}", f"--rdzv_id={rendezvous_id(job)}"]
    return [f"--nnodes={job.launch.nodes}", processes, "--rdzv_backend=c10d", *address]


def rendezvous(job: Job) -> tuple[str, str]:
    """Host and port of the nodes' rendezvous. Raises ValueError where the recipe has none."""
    if not job.launch.rendezvous:
        raise ValueError(f"training.launch.rendezvous: {job.launch.nodes} nodes need a host:port to meet at; set one")
    host, _, port = job.launch.rendezvous.rpartition(":")
    return host, port


def rendezvous_id(job: Job) -> str:
    """The name under which the nodes of this job meet."""
    return job.key[:16] or "alpaqual"


def train_sh(job: Job, before: Sequence[Sequence[str]], train: Sequence[str], merge: Sequence[str]) -> str:
    """`train.sh`, which each node runs; it changes to its own folder."""
    lines = ["#!/usr/bin/env bash", "# Written by alpaqual. Run it on each node.", "set -euo pipefail"]
    lines += ['cd "$(dirname "${BASH_SOURCE[0]}")"']
    lines += [f"export {shlex.quote(name)}={shlex.quote(value)}" for name, value in job.launch.environment.items()]
    lines += [shlex.join(command) for command in (*before, train)]
    if merges(job) and job.launch.nodes == 1:
        lines.append(shlex.join(merge))
    return "\n".join(lines) + "\n"


def prepare_py(job: Job, tool: str, body: Sequence[str]) -> str:
    """`prepare.py`, which converts the rows; `body` is Python that returns the converted `row`."""
    files = {job.data: PREPARED[0]} | ({} if job.held_out is None else {job.held_out: PREPARED[1]})
    return _PREPARE.format(tool=tool, files=ascii(files), body="\n".join(f"    {line}" for line in body))


def chat_files(job: Job, tool: str, targets: Sequence[str], write: str) -> dict[str, str]:
    """`prepare.py` for the chat prompt, and the module that it uses; `write` is Python that writes the rows by target."""
    settings = {"loss_on": job.text.loss_on, "max_length": job.text.max_length, "too_long": job.text.too_long}
    prepare = _PREPARE_CHAT.format(
        tool=tool,
        files=ascii(dict(zip(targets, filter(None, (job.data, job.held_out)), strict=False))),
        settings=ascii(settings),
        tokenizer=ascii(tokenizer(job) or base_model(job)),
        write=write.strip("\n"),
    )
    return {"prepare.py": prepare, CHAT: chat_module()}


def chat_module() -> str:
    """The text of `chat_tokens.py`."""
    return Path(_chat.__file__).read_text(encoding="utf-8")


def chat_notes(job: Job) -> list[str]:
    """What the chat prompt does, the same in the three programs."""
    return [
        f"Rows, triples and conversations, are tokenized by {CHAT}, a copy of alpaqual's own module: tokens and loss are",
        f"  the same as in alpaqual's own job. Loss is on: {job.text.loss_on}; an assistant turn of weight 0 has none, and any",
        "  other weight counts as 1.",
    ]


def merges(job: Job) -> bool:
    """Whether adapters are merged into the weights after training."""
    return job.method != "full" and job.lora.output == "merged"


def header(job: Job, tool: str, train: Sequence[str], merge: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The comment at the top of a configuration: how to run it, how a step is split, and what differs from alpaqual."""
    rows, accumulation = split_batch(job)
    several = job.launch.nodes > 1
    processes = f"{job.launch.nodes} x {job.launch.processes or 1} processes" if world_size(job) > 1 else "1 process"
    assumed = "" if job.launch.processes else " (training.launch.processes is not set: 1 is assumed)"
    lines = [
        f"Written by alpaqual for {tool}: dataset {quoted(job.dataset)} of recipe {quoted(job.recipe)}.",
        *([f"Job {quoted(job.key)}, data sha256 {quoted(job.data_sha256)}."] if job.key else []),
        "",
        f"Run, in this folder:  bash train.sh{' (on each node)' if several else ''}",
        f"which runs:           {_command_text(train)}",
    ]
    if merges(job):
        lines.append(f"{'then, on one node:   ' if several else 'then:                '} {_command_text(merge)}")
    lines += [
        "",
        f"A step has {job.steps.batch_size} rows: {rows} a micro-batch x {accumulation} accumulated x {processes}{assumed}.",
        "Change the three together, so that their product stays the same.",
        "Packing is off: with it a step would have that many packs of several rows each, so fewer steps,",
        "and the recipe's hyperparameters are for rows.",
        "Run it again to resume from the newest checkpoint.",
        "",
        "What differs from alpaqual's own training:",
        # Continuation lines of a note are indented.
        *(note if note.startswith("  ") else f"- {note}" for note in (*notes, *_notes(job))),
    ]
    return lines


def _command_text(command: Sequence[str]) -> str:
    """A command on one line of a comment."""
    text = shlex.join(command)
    return text if text.isprintable() else quoted(text)


def _notes(job: Job) -> list[str]:
    """What none of the programs does as the job says. Only the order of rows changes what is learned."""
    machine = job.machine
    notes = ["The order of rows: the same seed gives another order."]
    if machine.checkpoint_minutes is not None:
        every = "at training.checkpoints.every_steps" if machine.checkpoint_steps else "after each epoch"
        notes.append(f"training.checkpoints.every_minutes: checkpoints are written {every} only.")
    if machine.cross_entropy != "auto":
        notes.append(f"training.cross_entropy: {quoted(machine.cross_entropy)} is not exported (speed and memory).")
    if machine.attention == "varlen":
        notes.append("training.attention: varlen is not exported; rows are padded (speed and memory).")
    if machine.price_per_gpu_hour is not None:
        notes.append("training.price_per_gpu_hour: no cost is computed.")
    for name, value in (("slurm", job.launch.slurm), ("kubernetes", job.launch.kubernetes)):
        if value is not None:
            notes.append(f"training.launch.{name}: call train.sh from a script of your own.")
    return notes


def qlora_notes(job: Job) -> list[str]:
    """How 4-bit weights are stored."""
    if job.method != "qlora":
        return []
    return ["4-bit weights are NF4, quantized twice; each process has a copy of the whole model."]


def replicas_notes(job: Job, tool: str) -> list[str]:
    """That a program cannot shard within groups of processes."""
    if job.machine.replicas == 1:
        return []
    how = "shards the model over all processes" if uses_fsdp(job) else "gives each process a copy of the whole model"
    return [f"training.launch.replicas: {tool} {how} (speed and memory)."]
