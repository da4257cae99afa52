"""Replaces the training script in tests of torchrun: the ranks run steps, and save a checkpoint and stop on a signal."""

import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

CHECKPOINT = Path("checkpoint.txt")


def main() -> int:
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: signals.append(number))
    dist.init_process_group("gloo")
    step = int(CHECKPOINT.read_text()) if CHECKPOINT.exists() else 0
    dist.barrier()
    log(f"started at {step}")
    while step < int(os.environ["STEPS"]):
        time.sleep(0.05)
        step += 1
        stop = torch.tensor(len(signals))
        dist.all_reduce(stop)
        if stop:
            log(f"received {len(signals)} signals")
            # As long as a large checkpoint takes.
            time.sleep(float(os.environ["SECONDS_TO_SAVE"]))
            if dist.get_rank() == 0:
                CHECKPOINT.write_text(str(step))
            dist.barrier()
            log(f"saved {step}")
            return 75
    log(f"done {step}")
    return 0


def log(what: str) -> None:
    # One write: lines of several ranks do not mix.
    sys.stdout.write(f"{dist.get_rank()} of {dist.get_world_size()}: {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    code = main()
    dist.destroy_process_group()
    sys.exit(code)
