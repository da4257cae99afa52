"""Stands where the training script does, for torchrun: the processes meet, work in steps, and stop with a checkpoint when asked."""

import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

CHECKPOINT = Path("checkpoint.txt")


def main() -> int:
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: asked.append(number))
    dist.init_process_group("gloo")
    step = int(CHECKPOINT.read_text()) if CHECKPOINT.exists() else 0
    dist.barrier()
    tell(f"started at {step}")
    while step < int(os.environ["STEPS"]):
        time.sleep(0.05)
        step += 1
        stop = torch.tensor(len(asked))
        dist.all_reduce(stop)
        if stop:
            tell(f"asked {len(asked)} times")
            # A large checkpoint takes its time.
            time.sleep(float(os.environ["SECONDS_TO_SAVE"]))
            if dist.get_rank() == 0:
                CHECKPOINT.write_text(str(step))
            dist.barrier()
            tell(f"saved {step}")
            return 75
    tell(f"done {step}")
    return 0


def tell(what: str) -> None:
    # One write: lines of several processes do not run into each other.
    sys.stdout.write(f"{dist.get_rank()} of {dist.get_world_size()}: {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    code = main()
    dist.destroy_process_group()
    sys.exit(code)
