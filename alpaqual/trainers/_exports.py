"""What the exports share: the split of a batch, the launcher, and what no export can do."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from alpaqual.job import Job
from alpaqual.trainers._yaml import quoted

BETWEEN = "\n\n"
"""What stands between an instruction and its input where a chat template renders them."""

OUTPUT = "output"
MERGED = "merged"
PREPARED = ("train.jsonl", "held_out.jsonl")

_PREPARE = '''\
"""Writes the rows as {tool} reads them. Written by alpaqual."""

import json
import socket
from pathlib import Path

FILES = {files}


def made(row):
{made}


for read, written in FILES.items():
    # Machines that share this folder write the same file: each its own, then all the same name.
    part = Path(f"{{written}}.{{socket.gethostname()}}.part")
    with Path(read).open(encoding="utf-8") as rows, part.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(made(json.loads(row))) + "\\n" for row in rows)
    part.replace(written)
'''


def world(job: Job) -> int:
    """How many processes train together; one of each node where the recipe leaves it open."""
    return job.launch.nodes * (job.launch.processes or 1)


def batches(job: Job) -> tuple[int, int]:
    """Rows a process computes at once, and how often before a step: both times the processes are the batch.

    Raises ValueError where the batch cannot be divided.
    """
    share, rest = divmod(job.steps.batch_size, world(job))
    if rest:
        raise ValueError(
            f"training.batch_size: {job.steps.batch_size} rows cannot be divided over the {world(job)} processes of "
            "training.launch (nodes times processes); change one of them"
        )
    most = max(1, job.machine.micro_batch_tokens // job.text.max_length)
    rows = max(rows for rows in range(1, min(share, most) + 1) if share % rows == 0)
    return rows, share // rows


def base_model(job: Job) -> str:
    """The folder or name of the model.

    Raises ValueError where there is none.
    """
    if job.model.config is not None:
        raise ValueError(
            "training.base_model: random weights of a `config` are trained by alpaqual alone; "
            "name a folder or a model of the hub to export this job"
        )
    model = job.model.path or job.model.name
    if not model:
        raise ValueError("training.base_model: the job names none")
    return _folder(model, "training.base_model")


def tokenizer(job: Job) -> str | None:
    """The tokenizer's folder or name, where it is not the model's."""
    return None if job.model.tokenizer is None else _folder(job.model.tokenizer, "training.tokenizer")


def _folder(path: str, setting: str) -> str:
    if path.lower().endswith(".gguf"):
        raise ValueError(
            f"{setting}: a GGUF file is read by alpaqual alone; "
            "name the folder or the model of the hub that it was made from to export this job"
        )
    return path


def warmup(job: Job) -> float:
    """The share of the steps that warm up."""
    if job.steps.warmup_ratio >= 1:
        raise ValueError(
            "training.warmup_ratio: 1 is read as one step by the programs that jobs are exported to; take less"
        )
    return job.steps.warmup_ratio


def alpha(job: Job) -> int:
    """The scale of adapters, a whole number."""
    if not float(job.lora.alpha).is_integer():
        raise ValueError(
            f"training.lora.alpha: {job.lora.alpha} is no whole number, which exports need; change it, and "
            "training.lora.rank and training.learning_rate with it"
        )
    return int(job.lora.alpha)


def fsdp_config(recomputed: bool) -> dict[str, Any]:
    """FSDP2 as transformers' trainer is told of it; whether activations are computed twice."""
    return {
        "version": 2,
        "reshard_after_forward": True,
        "cpu_ram_efficient_loading": False,
        "state_dict_type": "FULL_STATE_DICT",
        "activation_checkpointing": recomputed,
    }


def torchrun(job: Job) -> list[str]:
    """Options of torchrun for one machine. It starts even a single process: without it, transformers' trainer would
    spread every batch over all GPUs that it sees, and a step would be of more rows than the job's."""
    each = f"--nproc_per_node={job.launch.processes or 1}"
    if job.launch.nodes == 1:
        return ["--standalone", each]
    host, port = rendezvous(job)
    name = job.key[:16] or "alpaqual"
    meet = ["--rdzv_backend=c10d", f"--rdzv_endpoint={host}:{port}", f"--rdzv_id={name}"]
    return [f"--nnodes={job.launch.nodes}", each, *meet]


def rendezvous(job: Job) -> tuple[str, str]:
    """Host and port that the nodes meet at."""
    if not job.launch.rendezvous:
        raise ValueError(
            f"training.launch.rendezvous: {job.launch.nodes} nodes need a host:port that they meet at; name one"
        )
    host, _, port = job.launch.rendezvous.rpartition(":")
    return host, port


PREPARE = ["python3", "prepare.py"]


def script(job: Job, before: Sequence[Sequence[str]], train: Sequence[str], merge: Sequence[str]) -> str:
    """`train.sh`: what is run on each machine, in the folder that the script lies in."""
    lines = ["#!/usr/bin/env bash", "# Written by alpaqual. Run it on each machine.", "set -euo pipefail"]
    lines += ['cd "$(dirname "${BASH_SOURCE[0]}")"']
    lines += [f"export {shlex.quote(name)}={shlex.quote(value)}" for name, value in job.launch.environment.items()]
    lines += [shlex.join(command) for command in (*before, train)]
    if merges(job) and job.launch.nodes == 1:
        lines.append(shlex.join(merge))
    return "\n".join(lines) + "\n"


def merges(job: Job) -> bool:
    """Whether adapters are to be added to the weights in the end."""
    return job.method != "full" and job.lora.output == "merged"


def head(job: Job, tool: str, train: Sequence[str], merge: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The comment that a configuration begins with: how to run it, what it assumes, what is not the same."""
    rows, times = batches(job)
    count = world(job)
    processes = f"{job.launch.nodes} x {job.launch.processes or 1} processes" if count > 1 else "1 process"
    assumed = "" if job.launch.processes else " (training.launch.processes is left open: 1 is assumed)"
    lines = [
        f"Written by alpaqual for {tool}: dataset {quoted(job.dataset)} of recipe {quoted(job.recipe)}.",
        *([f"Job {quoted(job.key)}, data sha256 {quoted(job.data_sha256)}."] if job.key else []),
        "",
        f"Run, in this folder:  bash train.sh{' (on each machine)' if job.launch.nodes > 1 else ''}",
        f"which runs:           {_shown(train)}",
    ]
    if merges(job):
        then = "then:                " if job.launch.nodes == 1 else "then, on one machine:"
        lines.append(f"{then} {_shown(merge)}")
    lines += [
        "",
        f"A step is of {job.steps.batch_size} rows: {rows} at once x {times} accumulated x {processes}{assumed}.",
        "Change the three together, so that their product stays the same.",
        "Packing is off: packed, a step would be of so many packs, each of many rows. Fewer and other steps,",
        "another learning rate for each row; the hyperparameters of the recipe are for rows.",
        "A process that runs again goes on from the newest checkpoint.",
        "",
        "What is not as alpaqual itself trains it:",
        # A note goes on in lines that are indented.
        *(note if note.startswith("  ") else f"- {note}" for note in (*notes, *_everywhere(job))),
    ]
    return lines


def _shown(command: Sequence[str]) -> str:
    """A command in a comment: what could end the line is quoted away."""
    text = shlex.join(command)
    return text if text.isprintable() else quoted(text)


def _everywhere(job: Job) -> list[str]:
    """What no program that a job is exported to does as the job says; none of it but the order changes what is learned."""
    machine = job.machine
    notes = ["The order of rows: the same seed gives another one."]
    if machine.checkpoint_minutes is not None:
        every = "at training.checkpoints.every_steps" if machine.checkpoint_steps else "after each epoch"
        notes.append(f"training.checkpoints.every_minutes: checkpoints are written {every} alone.")
    if machine.cross_entropy != "auto":
        notes.append(f"training.cross_entropy: {quoted(machine.cross_entropy)} is not carried over (speed and memory).")
    if machine.attention == "varlen":
        notes.append("training.attention: varlen is not carried over; rows are padded (speed and memory).")
    if machine.price_per_gpu_hour is not None:
        notes.append("training.price_per_gpu_hour: nothing is priced.")
    for name, value in (("slurm", job.launch.slurm), ("kubernetes", job.launch.kubernetes)):
        if value is not None:
            notes.append(f"training.launch.{name}: call train.sh from a script of your own.")
    return notes


def saving(job: Job) -> dict[str, Any]:
    """When checkpoints are written, in the words of transformers' trainer, which all three programs share."""
    steps = job.machine.checkpoint_steps
    when = {"save_strategy": "epoch"} if steps is None else {"save_strategy": "steps", "save_steps": steps}
    return {**when, "save_total_limit": job.machine.checkpoints_kept}


def evaluating(job: Job) -> dict[str, Any]:
    """When the loss of the held-out rows is measured: before, and after each epoch."""
    return {} if job.held_out is None else {"eval_strategy": "epoch", "eval_on_start": True}


def sharded(job: Job) -> bool:
    """Whether FSDP2 shards the model. Weights of 4 bits are not sharded: they are small, and their state gets lost."""
    return world(job) > 1 and job.method != "qlora"


def one_mesh(job: Job, tool: str) -> list[str]:
    """The note of a program that cannot shard within groups."""
    if job.machine.replicas == 1:
        return []
    how = "shards the model over all processes" if sharded(job) else "gives each process a whole model"
    return [f"training.launch.replicas: {tool} {how} (speed and memory)."]


def prepare(job: Job, tool: str, made: Sequence[str]) -> str:
    """`prepare.py`: writes the rows as the program reads them, by lines of Python that return one for `row`."""
    files = {job.data: PREPARED[0]} | ({} if job.held_out is None else {job.held_out: PREPARED[1]})
    return _PREPARE.format(tool=tool, files=ascii(files), made="\n".join(f"    {line}" for line in made))


def asked() -> str:
    """The Python of what a user says in a chat."""
    return f'row["instruction"] + ({BETWEEN!a} + row["input"] if row["input"] else "")'
