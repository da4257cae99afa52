"""Train one model on one dataset: torchrun … -m alpaqual.trainers.fsdp_job job.json

Every rank runs this program on its shard of the model and its part of each step; rank 0 prints and writes files.
Needs torch, transformers, safetensors and numpy; peft, bitsandbytes, liger-kernel and tensorboard where the job uses them.
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
from alpaqual.trainers.fsdp_job import memory, saved_model
from alpaqual.trainers.fsdp_job.batches import pack, plan_micro_batches
from alpaqual.trainers.fsdp_job.checkpoints import Checkpoints
from alpaqual.trainers.fsdp_job.data import Data, read_data
from alpaqual.trainers.fsdp_job.kernels import choose_sample_rows, select_kernels
from alpaqual.trainers.fsdp_job.launch_scripts import START_TIME
from alpaqual.trainers.fsdp_job.loss import ModelWithLoss, to_device
from alpaqual.trainers.fsdp_job.metrics import Flops, Metrics, device_name
from alpaqual.trainers.fsdp_job.model import BaseModel, build_sharded, check_sharded, compile_layers
from alpaqual.trainers.fsdp_job.ranks import Ranks, init_ranks
from alpaqual.trainers.fsdp_job.reference import set_eval_mode
from alpaqual.trainers.fsdp_job.shutdown import STOPPED, StopSignal, lock_folder, report_failure
from alpaqual.trainers.fsdp_job.tokenization import Example, Examples

# launch.sh passes the time at which it started; without it, the imports above do not count as run time.
_LAUNCHED = float(os.environ.get(START_TIME) or time.time())


def main(path: Path) -> int:
    """Train the job of a `job.json`. Returns an exit code."""
    folder, rank = path.resolve().parent, int(os.environ.get("RANK", "0"))
    stop = StopSignal()
    try:
        job = from_json(path.read_text(encoding="utf-8"))
        if manifest_in(folder, job.key) is not None:
            print(f"{folder / MODEL} is already trained")
            return 0
        ranks = init_ranks(job.machine.replicas)
        with lock_folder(folder, ranks):
            return train(job, folder, ranks, stop)
    except MachineError as error:
        return report_failure(folder, EXIT_MACHINE, str(error), rank)
    except JobError as error:
        return report_failure(folder, EXIT_RECIPE, str(error), rank)
    except FloatingPointError as error:
        return report_failure(folder, EXIT_STAGE, str(error), rank)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        # On a CPU the allocator raises a plain RuntimeError.
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        where = f"out of memory on {device_name(ranks.device)} of rank {rank}"
        message = f"{where}: {memory.advice(job)} ({str(error).splitlines()[0]})"
        return report_failure(folder, EXIT_MACHINE, message, rank)


def train(job: Job, folder: Path, ranks: Ranks, stop: StopSignal) -> int:
    """Run the job from its data to its saved model. Returns an exit code."""
    # 1. Tokenize the rows and fix the order of the steps.
    base = BaseModel(job, folder)
    tokenizer = base.tokenizer()
    data = read_data(job, folder, tokenizer)
    for note in data.examples.notes:
        print_once(ranks, note)

    # 2. Build the sharded model, and select kernels that reproduce the unsharded one.
    model, flops = build_model(base, data, ranks)

    # 3. Create the optimizer and the learning-rate schedule over the sharded weights.
    check_sharded(model, ranks)
    fused = ranks.device.type == "cuda"
    optimizer = torch.optim.AdamW(parameter_groups(model, job), lr=job.steps.learning_rate, fused=fused)
    schedule = learning_rate_schedule(optimizer, job, data.order.steps)

    # 4. Resume from the latest checkpoint, if there is one.
    checkpoints = Checkpoints(folder / "checkpoint", job.key, job.machine.checkpoints_kept, ranks)
    done = checkpoints.load(model, optimizer, schedule)
    resuming = f", resuming after step {done}" if done else ""
    print_once(ranks, f"{data.order.steps} steps of {job.steps.batch_size} rows{resuming}")
    # Nodes start at different times: the run time counts from the mean of their starts.
    launched = ranks.all_reduce_sum(_LAUNCHED)[0] / ranks.world_size
    metrics = Metrics(folder, done, launched, flops, tensorboard=job.machine.tensorboard) if ranks.is_first else None

    # 5. Measure the held-out loss before the first step.
    if data.held_out is not None and done == 0:
        loss = evaluate(model, data.held_out, job, ranks)
        if metrics is not None:
            metrics.write({"step": 0, "held_out_loss": loss, "elapsed_seconds": 0.0})

    # 6. Train.
    state = State(model, optimizer, schedule, checkpoints, metrics)
    if not run_steps(job, data, state, ranks, stop, done):
        saved = "a checkpoint was saved" if checkpoints.wait() else "steps since the last checkpoint are lost"
        return report_failure(folder, STOPPED, f"stopped on a signal; {saved}: run again to resume")

    # 7. Measure the held-out loss again.
    set_eval_mode(model)
    held_out_loss = evaluate(model, data.held_out, job, ranks) if data.held_out is not None else None

    # 8. Save the model, then delete the checkpoints.
    checkpoints.wait()
    manifest: dict[str, Any] = {}
    if metrics is not None:
        metrics.close()
        manifest = saved_model.make_manifest(job, data, metrics, ranks, held_out_loss)
    saved_model.save_model(base, model, tokenizer, ranks, folder / MODEL, manifest)
    ranks.barrier()
    checkpoints.clear()
    print_once(ranks, f"trained: {folder / MODEL}")
    return 0


def build_model(base: BaseModel, data: Data, ranks: Ranks) -> tuple[ModelWithLoss, Flops]:
    """Build the sharded model in eval mode, with its kernels selected and its layers compiled."""
    job = base.job
    # Estimate memory on the meta device, before anything is loaded.
    config = ranks.broadcast_from_rank0(base.config() if ranks.is_first else None)
    meta_model = base.on_meta_with_adapters(config, torch.float32)
    flops = Flops.of(meta_model, data.examples.tokens / len(data.examples.all), ranks)
    checkpointing, estimate = memory.choose_checkpointing(job, meta_model, ranks)
    print_once(ranks, estimate)
    if warning := memory.warn_about_disk(job, meta_model, base.folder):
        print_once(ranks, warning)

    # Run two rows through the whole model, shard it, and compare.
    rows = choose_sample_rows(data.examples.all)
    model, reference = build_sharded(base, config, ranks, [each.tokens for each in rows], checkpointing)
    gc.collect()
    set_eval_mode(model)
    kernels = select_kernels(model, reference, rows, job, ranks)
    # A forward pass without a backward leaves weights gathered; the optimizer needs the sharded ones.
    model.reshard()
    print_once(ranks, f"{device_name(ranks.device)}, {ranks.world_size} processes; {kernels}")
    if memory.should_compile(job, ranks) and (reason := compile_layers(model.model, job.machine.compile, ranks)):
        print_once(ranks, reason)
    return model, flops


@dataclass(frozen=True)
class State:
    """What training changes; `metrics` is None on all ranks but the first."""

    model: ModelWithLoss
    optimizer: torch.optim.Optimizer
    schedule: Any
    checkpoints: Checkpoints
    metrics: Metrics | None

    def save(self, step: int) -> None:
        """Start writing a checkpoint."""
        if self.metrics is not None:
            self.metrics.flush()
        self.checkpoints.save(step, self.model, self.optimizer, self.schedule)


def run_steps(job: Job, data: Data, state: State, ranks: Ranks, stop: StopSignal, done: int) -> bool:
    """Run all steps after the first `done`. Returns False where a signal stopped it, with a checkpoint being written."""
    every_steps, every_minutes = job.machine.checkpoint_steps, job.machine.checkpoint_minutes
    metrics = state.metrics
    state.model.train()
    last_saved = time.monotonic()
    if metrics is not None:
        metrics.start_clock()
    for step, positions in data.order.steps_from(done):
        # Gradient, weights, learning rate.
        rows = [data.examples.all[position] for position in positions]
        learning_rate = state.schedule.get_last_lr()[0]
        loss, norm = compute_gradient(state.model, rows, job, ranks, step)
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.schedule.step()

        # All ranks decide together whether to stop and whether a checkpoint is due.
        due = every_minutes is not None and time.monotonic() - last_saved > 60 * every_minutes
        stopping, saving = ranks.all_reduce_sum(stop.received, due and ranks.is_first)

        if metrics is not None:
            values = {"loss": loss, "gradient_norm": norm, "learning_rate": learning_rate}
            metrics.log_step(step + 1, data.order, rows, values)
            metrics.run_time()
            print(metrics.describe_last(data.order.steps), flush=True)

        # The last step needs no checkpoint: the model is saved right after it.
        state.checkpoints.poll()
        if step + 1 == data.order.steps:
            break
        if stopping or saving or (every_steps is not None and (step + 1) % every_steps == 0):
            state.save(step + 1)
            last_saved = time.monotonic()
        if stopping:
            return False
    return True


def compute_gradient(
    model: ModelWithLoss, rows: Sequence[Example], job: Job, ranks: Ranks, step: int
) -> tuple[float, float]:
    """Compute the clipped gradient of one step. Returns the mean loss per loss token, and the norm before clipping.

    Raises FloatingPointError, with the ids of rows, where either is NaN or infinite.
    """
    # Dropout differs between steps and ranks, and a resumed job repeats it.
    seed = hashlib.sha256(f"{job.steps.seed}:{step}:{ranks.rank}".encode()).digest()
    torch.manual_seed(int.from_bytes(seed[:8], "big"))
    loss_tokens = sum(row.loss_tokens for row in rows) or 1  # of the whole step, over all ranks

    # Gradient accumulation over micro-batches; each rank runs its own.
    losses: list[tuple[torch.Tensor, list[Example]]] = []
    for micro_batch in plan_micro_batches(
        [len(row.tokens) for row in rows], ranks.world_size, job.machine.micro_batch_tokens
    ):
        own = [rows[position] for position in micro_batch[ranks.rank]]
        loss = model(to_device(pack(own), ranks.device))  # scalar: summed over this rank's loss tokens
        # FSDP averages gradients over ranks: times the world size they are summed.
        (loss * (ranks.world_size / loss_tokens)).backward()
        losses.append((loss.detach(), own))
    mean_loss = ranks.all_reduce_sum(sum(float(loss) for loss, _ in losses))[0] / loss_tokens
    if not math.isfinite(mean_loss):
        own_bad = [row.id for loss, own in losses if not math.isfinite(float(loss)) for row in own]
        bad = [row for part in ranks.all_gather(own_bad) for row in part]
        raise FloatingPointError(
            f"the loss of step {step + 1} is {mean_loss}; the step was not applied; rows: {_join_ids(bad)}"
        )

    trained = [weight for weight in model.parameters() if weight.requires_grad]
    clip = math.inf if job.steps.clip is None else job.steps.clip
    total: Any = torch.nn.utils.clip_grad_norm_(trained, clip)  # scalar, a DTensor
    norm = float(total.full_tensor() if hasattr(total, "full_tensor") else total)
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"the gradient norm of step {step + 1} is {norm} at a loss of {mean_loss:.4g}; the step was not applied; try a "
            f"lower training.learning_rate, or precision: fp32; rows: {_join_ids([row.id for row in rows])}"
        )
    return mean_loss, norm


def evaluate(model: ModelWithLoss, examples: Examples, job: Job, ranks: Ranks) -> float:
    """The mean loss per loss token, without a gradient."""
    # Summed on the device: reading each loss would wait for its micro-batch.
    total = torch.zeros((), dtype=torch.float64, device=ranks.device)
    lengths = [len(each.tokens) for each in examples.all]
    with torch.no_grad():
        for micro_batch in plan_micro_batches(lengths, ranks.world_size, job.machine.micro_batch_tokens):
            own = [examples.all[position] for position in micro_batch[ranks.rank]]
            total += model(to_device(pack(own), ranks.device))
    model.reshard()
    return ranks.all_reduce_sum(float(total))[0] / max(examples.loss_tokens, 1)


def parameter_groups(model: ModelWithLoss, job: Job) -> list[dict[str, Any]]:
    """The trained weights for the optimizer: matrices with weight decay, norms and biases without."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    return [
        {"params": [weight for weight in trained if weight.ndim >= 2], "weight_decay": job.steps.weight_decay},
        {"params": [weight for weight in trained if weight.ndim < 2], "weight_decay": 0.0},
    ]


def learning_rate_schedule(optimizer: torch.optim.Optimizer, job: Job, steps: int) -> Any:
    """Linear warm-up, then the job's schedule."""
    from transformers import get_scheduler

    name = "constant_with_warmup" if job.steps.schedule == "constant" else job.steps.schedule
    warmup_steps = math.ceil(steps * job.steps.warmup_ratio)
    return get_scheduler(name, optimizer, num_warmup_steps=warmup_steps, num_training_steps=steps)


def print_once(ranks: Ranks, line: str) -> None:
    """Print a line on rank 0."""
    if ranks.is_first:
        print(line, flush=True)


def _join_ids(ids: list[str]) -> str:
    """At most 50 ids as text."""
    return ", ".join(ids[:50]) + (f" and {len(ids) - 50} more" if len(ids) > 50 else "")


def _exit(code: int) -> None:
    if dist.is_initialized() and code in (0, STOPPED):
        dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: threads of libraries may wait forever for ranks that have ended.
    os._exit(code)


if __name__ == "__main__":
    from transformers.utils import logging

    logging.disable_progress_bar()
    _exit(main(Path(sys.argv[1])))
