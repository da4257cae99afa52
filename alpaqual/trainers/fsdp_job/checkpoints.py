"""Checkpoints: written to a temporary folder while training continues, renamed when complete, then pointed at."""

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

from alpaqual.disk import flush, replace_file
from alpaqual.job import JobError
from alpaqual.trainers.fsdp_job.ranks import Ranks

_LATEST = "latest"
_SAVE_OPTIONS = StateDictOptions(ignore_frozen_params=True)
# Not strict, as checkpoints have no frozen weights; `load` itself checks that no trained weight is missing.
_LOAD_OPTIONS = StateDictOptions(ignore_frozen_params=True, strict=False)


class Checkpoints:
    """The checkpoints of one job: trained weights, optimizer, schedule and step. Those of another `key` are refused.

    They hold no random state: every step seeds its own.
    """

    def __init__(self, folder: Path, key: str, keep: int, ranks: Ranks) -> None:
        self.folder = folder
        self.key = key
        self.keep = keep
        self.ranks = ranks
        self.pending: tuple[int, Any] | None = None
        """The step and the future of the checkpoint that is being written."""
        self.succeeded = True

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any) -> int:
        """Load the latest checkpoint, whatever world size wrote it. Returns its step, 0 without a checkpoint.

        Raises JobError where the folder has checkpoints of another job.
        """
        name = self.ranks.broadcast_from_rank0(self._find_latest())
        if name is None:
            return 0
        state = self._state(model, optimizer, {"schedule": schedule.state_dict(), "step": 0, "key": ""})
        dcp.load(state, checkpoint_id=self.folder / name)
        if state["job"]["key"] != self.key:
            raise JobError(
                f"{self.folder} has checkpoints of another job (other data or settings): move the folder away, or resume that job"
            )
        missing = {name for name, weight in model.named_parameters() if weight.requires_grad} - {*state["model"]}
        assert not missing, f"the checkpoint lacks {sorted(missing)[:3]}"
        set_state_dict(
            model,
            optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
            options=_LOAD_OPTIONS,
        )
        schedule.load_state_dict(state["job"]["schedule"])
        return int(state["job"]["step"])

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any) -> None:
        """Start writing the state after `step` steps from a copy in memory; all ranks call this together."""
        self.wait()
        if self.ranks.broadcast_from_rank0(self._path(step).is_dir()):
            return
        target = self._path(step, ".tmp")
        if self.ranks.is_first:
            shutil.rmtree(target, ignore_errors=True)
        # Other ranks write into the folder only after rank 0 has removed it.
        self.ranks.barrier()
        state = self._state(model, optimizer, {"schedule": schedule.state_dict(), "step": step, "key": self.key})
        future = dcp.async_save(state, checkpoint_id=target, process_group=self.ranks.checkpoint_group)
        self.pending = step, future

    def poll(self) -> None:
        """On rank 0, finish the pending checkpoint if it has been written by now."""
        if self.pending is not None and self.pending[1].done() and self.ranks.is_first:
            self._finish()

    def wait(self) -> bool:
        """Wait for the pending checkpoint; all ranks call this together. Returns False where it could not be written."""
        if self.pending is not None:
            self._finish()
        succeeded, self.succeeded = bool(self.ranks.broadcast_from_rank0(self.succeeded)), True
        return succeeded

    def clear(self) -> None:
        """Delete all checkpoints, once the model has been saved."""
        self.wait()
        if self.ranks.is_first:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self) -> None:
        assert self.pending is not None
        (step, future), self.pending = self.pending, None
        try:
            # On rank 0 the future resolves once every rank has written its part.
            future.result()
        except (CheckpointException, OSError, RuntimeError) as error:
            if self.ranks.is_first:
                self.succeeded = False
                shutil.rmtree(self._path(step, ".tmp"), ignore_errors=True)
                message = f"the checkpoint after step {step} could not be written: {_first_cause(error)}"
                print(message, file=sys.stderr, flush=True)
            return
        if not self.ranks.is_first:
            return
        self._path(step, ".tmp").rename(self._path(step))
        flush(self.folder)
        self._point_at(self._path(step).name)
        for old in self._complete()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def _find_latest(self) -> str | None:
        """On rank 0, delete incomplete checkpoints and return the name of the newest complete one."""
        if not self.ranks.is_first:
            return None
        for incomplete in self.folder.glob("step-*.tmp"):
            shutil.rmtree(incomplete, ignore_errors=True)
        complete = self._complete()
        if not complete:
            return None
        # A job that was killed between rename and pointer left the pointer at an older one.
        self._point_at(complete[-1].name)
        return complete[-1].name

    def _complete(self) -> list[Path]:
        """The complete checkpoints, oldest first."""
        return sorted(path for path in self.folder.glob("step-*") if (path / ".metadata").is_file() and not path.suffix)

    def _point_at(self, name: str) -> None:
        replace_file(self.folder / _LATEST, json.dumps({"checkpoint": name}) + "\n", durable=True)

    def _path(self, step: int, ending: str = "") -> Path:
        return self.folder / f"step-{step:08d}{ending}"

    def _state(self, model: nn.Module, optimizer: torch.optim.Optimizer, job: dict[str, Any]) -> dict[str, Any]:
        weights, moments = get_state_dict(model, optimizer, options=_SAVE_OPTIONS)
        return {"model": weights, "optimizer": moments, "job": job}


def _first_cause(error: BaseException) -> str:
    """The first rank's error, in one line."""
    failures = getattr(error, "failures", None)
    cause = next(iter(failures.values()))[0] if failures else error
    return " ".join(str(cause).split())[:300]
