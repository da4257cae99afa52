"""Train one model on one dataset: torchrun … -m alpaqual.trainers.fsdp_job job.json

Reads from top to bottom. Every process does the same with its part of the model and of each step; the first one speaks.
Needs torch, transformers, safetensors and numpy; peft, bitsandbytes, liger-kernel and tensorboard where the job asks for them.
"""

from __future__ import annotations

import gc
import hashlib
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from alpaqual.errors import EXIT_MACHINE, EXIT_RECIPE, EXIT_STAGE, MachineError
from alpaqual.job import Job, JobError, from_json
from alpaqual.job_folder import MODEL, manifest_in
from alpaqual.trainers.fsdp_job import memory, saving
from alpaqual.trainers.fsdp_job.batches import lay_out, micro_batch
from alpaqual.trainers.fsdp_job.checking import prove, sample
from alpaqual.trainers.fsdp_job.checkpoints import Checkpoints
from alpaqual.trainers.fsdp_job.data import Data, read_data
from alpaqual.trainers.fsdp_job.launching import BEGAN
from alpaqual.trainers.fsdp_job.loss import Learner, tensors
from alpaqual.trainers.fsdp_job.measuring import Metrics, Speed, device_name
from alpaqual.trainers.fsdp_job.model import Base, build, check_sharded, compile_layers, set_eval_mode
from alpaqual.trainers.fsdp_job.ranks import Ranks, join
from alpaqual.trainers.fsdp_job.stopping import STOPPED, Stop, failed, only_job
from alpaqual.trainers.fsdp_job.texts import Example, Examples

# Without a launcher that says when it began, what came before this line is not counted.
_BEGAN = float(os.environ.get(BEGAN) or time.time())


def main(path: Path) -> int:
    """Train the job of a `job.json`; an exit code."""
    folder, rank = path.resolve().parent, int(os.environ.get("RANK", "0"))
    stop = Stop()
    try:
        job = from_json(path.read_text(encoding="utf-8"))
        if manifest_in(folder, job.key) is not None:
            print(f"{folder / MODEL} is trained already")
            return 0
        ranks = join(job.machine.replicas)
        with only_job(folder, ranks):
            return train(job, folder, ranks, stop)
    except MachineError as error:
        return failed(folder, EXIT_MACHINE, str(error), rank)
    except JobError as error:
        return failed(folder, EXIT_RECIPE, str(error), rank)
    except FloatingPointError as error:
        return failed(folder, EXIT_STAGE, str(error), rank)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        # On a CPU the allocator raises what every other mistake of torch is, too.
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        where = f"out of memory on {device_name(ranks.device)} of process {rank}"
        return failed(folder, EXIT_MACHINE, f"{where}: {memory.advice(job)} ({str(error).splitlines()[0]})", rank)


def train(job: Job, folder: Path, ranks: Ranks, stop: Stop) -> int:
    """All of it, in order."""
    base = Base(job, folder)
    tokenizer = base.tokenizer()
    data = read_data(job, folder, tokenizer)
    learner, speed = read_model(base, data, ranks)

    # Optimiser and schedule over the sharded weights; then on from the last checkpoint, if there is one.
    check_sharded(learner, ranks)
    optimizer = torch.optim.AdamW(groups(learner, job), lr=job.steps.learning_rate, fused=ranks.device.type == "cuda")
    schedule = learning_rates(optimizer, job, data.order.steps)
    checkpoints = Checkpoints(folder / "checkpoint", job.key, job.machine.checkpoints_kept, ranks)
    done = checkpoints.load(learner, optimizer, schedule)
    say(
        ranks, f"{data.order.steps} steps of {job.steps.batch_size} rows" + (f", going on after {done}" if done else "")
    )
    # Nodes may be started one after the other: each costs from its own beginning, and all of them as from the mean.
    began = ranks.total(_BEGAN)[0] / ranks.world
    metrics = Metrics(folder, done, began, speed, tensorboard=job.machine.tensorboard) if ranks.first else None
    if data.held_out is not None and done == 0:
        before = mean_loss(learner, data.held_out, job, ranks)
        if metrics is not None:
            metrics.write({"step": 0, "held_out_loss": before, "elapsed_seconds": 0.0})

    state = State(learner, optimizer, schedule, checkpoints, metrics)
    if not loop(job, data, state, ranks, stop, done):
        kept = (
            "what was learned is kept" if checkpoints.wait() else "what was learned since the last checkpoint is lost"
        )
        return failed(folder, STOPPED, f"stopped as asked; {kept}: start it again and it goes on")

    set_eval_mode(learner)
    after = mean_loss(learner, data.held_out, job, ranks) if data.held_out is not None else None
    checkpoints.wait()
    facts: dict[str, Any] = {}
    if metrics is not None:
        metrics.close()
        facts = saving.facts(job, data, metrics, ranks, after)
    saving.save_model(base, learner, tokenizer, ranks, folder / MODEL, facts)
    ranks.told(None)
    checkpoints.clear()
    say(ranks, f"trained: {folder / MODEL}")
    return 0


def read_model(base: Base, data: Data, ranks: Ranks) -> tuple[Learner, Speed]:
    """The sharded model, shown to be right, and what its steps will be measured by."""
    job = base.job
    config = ranks.told(base.config() if ranks.first else None)
    outline = base.outline(config, torch.float32)
    speed = Speed.of(outline, data.examples.tokens / len(data.examples.all), ranks)
    checkpointing, why = memory.fit(job, outline, ranks)
    say(ranks, why)
    if short := memory.space(job, outline, base.folder):
        say(ranks, short)
    rows = sample(data.examples.all)
    learner, said = build(base, config, ranks, [each.tokens for each in rows], checkpointing)
    gc.collect()
    set_eval_mode(learner)
    chosen = prove(learner, said, rows, job, ranks)
    # A forward pass alone leaves some weights whole, and an optimiser over those would learn nothing that is kept.
    learner.reshard()
    say(ranks, f"{device_name(ranks.device)}, {ranks.world} processes; {chosen}")
    if memory.compiles(job, ranks) and (reason := compile_layers(learner.model, job.machine.compile, ranks)):
        say(ranks, reason)
    return learner, speed


@dataclass(frozen=True)
class State:
    """What a checkpoint holds, and who writes it; `metrics` is None on all processes but the first."""

    learner: Learner
    optimizer: torch.optim.Optimizer
    schedule: Any
    checkpoints: Checkpoints
    metrics: Metrics | None

    def save(self, step: int) -> None:
        """Begin to write it."""
        if self.metrics is not None:
            self.metrics.flush()
        self.checkpoints.save(step, self.learner, self.optimizer, self.schedule)


def loop(job: Job, data: Data, state: State, ranks: Ranks, stop: Stop, done: int) -> bool:
    """Every step after those that are `done`; whether it came to the end, or was asked to stop and has a checkpoint under way."""
    every, minutes = job.machine.checkpoint_steps, job.machine.checkpoint_minutes
    metrics = state.metrics
    state.learner.train()
    saved = time.monotonic()
    if metrics is not None:
        metrics.start()
    for step, positions in data.order.rows_from(done):
        rows = [data.examples.all[position] for position in positions]
        rate = state.schedule.get_last_lr()[0]
        loss, norm = learn(state.learner, rows, job, ranks, step)
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.schedule.step()

        # Whether to stop or to write a checkpoint is asked once a step, so that all processes do the same.
        due = minutes is not None and time.monotonic() - saved > 60 * minutes
        stopping, writing = ranks.total(stop.asked, due and ranks.first)
        if metrics is not None:
            found = {"loss": loss, "gradient_norm": norm, "learning_rate": rate}
            metrics.step(step + 1, data.order, rows, found)
            metrics.lived()
            print(metrics.line(data.order.steps), flush=True)
        state.checkpoints.poll()
        if step + 1 == data.order.steps:
            break
        if stopping or writing or (every is not None and (step + 1) % every == 0):
            state.save(step + 1)
            saved = time.monotonic()
        if stopping:
            return False
    return True


def learn(learner: Learner, rows: Sequence[Example], job: Job, ranks: Ranks, step: int) -> tuple[float, float]:
    """The gradient of one step; its loss, the mean over learned tokens, and the norm of the gradient before it was clipped.

    Raises FloatingPointError with the rows where either is no number.
    """
    seed = hashlib.sha256(f"{job.steps.seed}:{step}:{ranks.rank}".encode()).digest()
    torch.manual_seed(int.from_bytes(seed[:8], "big"))
    learned = sum(row.loss_tokens for row in rows) or 1
    found: list[tuple[torch.Tensor, list[Example]]] = []
    for batches in lay_out([len(row.tokens) for row in rows], ranks.world, job.machine.micro_batch_tokens):
        mine = [rows[position] for position in batches[ranks.rank]]
        loss = learner(tensors(micro_batch(mine), ranks.device))
        # FSDP takes the mean over processes: times their number it is the sum.
        (loss * (ranks.world / learned)).backward()
        found.append((loss.detach(), mine))
    total = ranks.total(sum(float(loss) for loss, _ in found))[0] / learned
    if not math.isfinite(total):
        bad = ranks.gathered([row.id for loss, mine in found if not math.isfinite(float(loss)) for row in mine])
        raise FloatingPointError(
            f"the loss of step {step + 1} is {total}, and nothing was learned from it; rows: {_listed([row for part in bad for row in part])}"
        )
    trained = [weight for weight in learner.parameters() if weight.requires_grad]
    length: Any = torch.nn.utils.clip_grad_norm_(trained, math.inf if job.steps.clip is None else job.steps.clip)
    norm = float(length.full_tensor() if hasattr(length, "full_tensor") else length)
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"the gradient of step {step + 1} has the norm {norm} at a loss of {total:.4g}, and nothing was learned from it; try a "
            f"lower training.learning_rate, or precision: fp32; rows: {_listed([row.id for row in rows])}"
        )
    return total, norm


def mean_loss(learner: Learner, examples: Examples, job: Job, ranks: Ranks) -> float:
    """The mean loss over the learned tokens of examples; nothing is learned from them."""
    # Summed on the device, which would else stand still after each micro-batch.
    total = torch.zeros((), dtype=torch.float64, device=ranks.device)
    with torch.no_grad():
        for batches in lay_out(
            [len(each.tokens) for each in examples.all], ranks.world, job.machine.micro_batch_tokens
        ):
            mine = [examples.all[position] for position in batches[ranks.rank]]
            total += learner(tensors(micro_batch(mine), ranks.device))
    learner.reshard()
    return ranks.total(float(total))[0] / max(examples.loss_tokens, 1)


def groups(learner: Learner, job: Job) -> list[dict[str, Any]]:
    """Trained weights for the optimiser; norms and biases do not decay."""
    trained = [weight for weight in learner.parameters() if weight.requires_grad]
    return [
        {"params": [weight for weight in trained if weight.ndim >= 2], "weight_decay": job.steps.weight_decay},
        {"params": [weight for weight in trained if weight.ndim < 2], "weight_decay": 0.0},
    ]


def learning_rates(optimizer: torch.optim.Optimizer, job: Job, steps: int) -> Any:
    """The schedule: a linear rise from nothing, then as the job says."""
    from transformers import get_scheduler

    name = "constant_with_warmup" if job.steps.schedule == "constant" else job.steps.schedule
    warm = math.ceil(steps * job.steps.warmup_ratio)
    return get_scheduler(name, optimizer, num_warmup_steps=warm, num_training_steps=steps)


def say(ranks: Ranks, words: str) -> None:
    """Tell something once."""
    if ranks.first:
        print(words, flush=True)


def _listed(ids: list[str]) -> str:
    return ", ".join(ids[:50]) + (f" and {len(ids) - 50} more" if len(ids) > 50 else "")


def _end(code: int) -> None:
    if dist.is_initialized() and code in (0, STOPPED):
        dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of libraries may still wait for processes that are gone.
    os._exit(code)


if __name__ == "__main__":
    from transformers.utils import logging

    logging.disable_progress_bar()
    _end(main(Path(sys.argv[1])))
