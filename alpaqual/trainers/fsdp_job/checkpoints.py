"""The state of training on disk: written under another name, renamed when it is whole, pointed at last."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from alpaqual.disk import flush
from alpaqual.job import JobError
from alpaqual.trainers.fsdp_job.ranks import Ranks

_LATEST = "latest"
_OPTIONS = StateDictOptions(ignore_frozen_params=True)
# Frozen weights are in no checkpoint; that none of the others is missing is looked at by itself.
_TAKING = StateDictOptions(ignore_frozen_params=True, strict=False)


class Checkpoints:
    """Those of one job in one folder; a checkpoint of another `key` is never taken for its own.

    Weights, optimiser, schedule and place in the data go together. Random numbers need none: each step draws its own.
    """

    def __init__(self, folder: Path, key: str, keep: int, ranks: Ranks) -> None:
        self.folder = folder
        self.key = key
        self.keep = keep
        self.ranks = ranks
        self.writing: tuple[int, Any] | None = None
        self.whole = True

    def load(self, learner: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any) -> int:
        """Take up the latest state, whatever the number of processes that wrote it; the steps done, 0 where there is none.

        Raises JobError where the folder holds another job's.
        """
        name = self.ranks.told(self._latest())
        if name is None:
            return 0
        state = self._state(learner, optimizer, {"schedule": schedule.state_dict(), "step": 0, "key": ""})
        dcp.load(state, checkpoint_id=self.folder / name)
        if state["job"]["key"] != self.key:
            raise JobError(
                f"{self.folder} holds the state of another job (other data or settings): move it away, or go on with that job"
            )
        lost = {name for name, weight in learner.named_parameters() if weight.requires_grad} - {*state["model"]}
        assert not lost, f"the checkpoint lacks {sorted(lost)[:3]}"
        set_state_dict(
            learner,
            optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
            options=_TAKING,
        )
        schedule.load_state_dict(state["job"]["schedule"])
        return int(state["job"]["step"])

    def save(self, step: int, learner: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any) -> None:
        """Begin to write the state after `step` steps; training goes on from a copy of it in memory."""
        self.wait()
        if self.ranks.told(self._path(step).is_dir()):
            return
        target = self._path(step, ".tmp")
        if self.ranks.first:
            shutil.rmtree(target, ignore_errors=True)
        # Nobody writes before the first process has cleared the place.
        self.ranks.told(None)
        state = self._state(learner, optimizer, {"schedule": schedule.state_dict(), "step": step, "key": self.key})
        self.writing = step, dcp.async_save(state, checkpoint_id=target, process_group=self.ranks.writers)

    def poll(self) -> None:
        """Finish a checkpoint that is written whole by now."""
        if self.writing is not None and self.writing[1].done() and self.ranks.first:
            self._finish()

    def wait(self) -> bool:
        """Wait for the one that is being written; whether there is none, or it is whole. All processes come here together."""
        if self.writing is not None:
            self._finish()
        whole, self.whole = bool(self.ranks.told(self.whole)), True
        return whole

    def clear(self) -> None:
        """Take all of them away, once there is nothing left to go on with."""
        self.wait()
        if self.ranks.first:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self) -> None:
        assert self.writing is not None
        (step, future), self.writing = self.writing, None
        try:
            # The first process hears of the end once all others have written their part.
            future.result()
        except (CheckpointException, OSError, RuntimeError) as error:
            if self.ranks.first:
                self.whole = False
                shutil.rmtree(self._path(step, ".tmp"), ignore_errors=True)
                print(
                    f"the checkpoint after step {step} could not be written: {_reason(error)}",
                    file=sys.stderr,
                    flush=True,
                )
            return
        if not self.ranks.first:
            return
        self._path(step, ".tmp").rename(self._path(step))
        flush(self.folder)
        self._point(self._path(step).name)
        for old in self._whole()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def _latest(self) -> str | None:
        """The name of the newest one, to which the pointer points then; a half one, of a job that was killed, is taken away."""
        if not self.ranks.first:
            return None
        for half in self.folder.glob("step-*.tmp"):
            shutil.rmtree(half, ignore_errors=True)
        there = self._whole()
        if not there:
            return None
        # Killed between the renaming and the pointing, it points at an older one.
        self._point(there[-1].name)
        return there[-1].name

    def _whole(self) -> list[Path]:
        """Those that were written to the end, oldest first."""
        return sorted(path for path in self.folder.glob("step-*") if (path / ".metadata").is_file() and not path.suffix)

    def _point(self, name: str) -> None:
        pointer = self.folder / f"{_LATEST}.tmp"
        pointer.write_text(json.dumps({"checkpoint": name}) + "\n", encoding="utf-8")
        flush(pointer)
        pointer.replace(self.folder / _LATEST)
        flush(self.folder)

    def _path(self, step: int, ending: str = "") -> Path:
        return self.folder / f"step-{step:08d}{ending}"

    def _state(self, learner: nn.Module, optimizer: torch.optim.Optimizer, job: dict[str, Any]) -> dict[str, Any]:
        model, optim = get_state_dict(learner, optimizer, options=_OPTIONS)
        return {"model": model, "optimizer": optim, "job": job}


def _reason(error: BaseException) -> str:
    """The first cause, in one line."""
    inner = getattr(error, "failures", None)
    cause = next(iter(inner.values()))[0] if inner else error
    return " ".join(str(cause).split())[:300]
