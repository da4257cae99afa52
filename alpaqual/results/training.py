"""What a run found of each dataset's training: a model, a job that is written, or one that waits."""

from __future__ import annotations

from typing import Literal

import msgspec

from alpaqual.results.record import Amount, Count, Number, Record


class HeldOutLoss(Record, frozen=True, kw_only=True):
    """The mean loss over the held-out rows of a dataset, before and after training; null where it is not a number."""

    dataset: str
    rows: Count
    before: Number | None
    after: Number | None


class LossPoint(Record, frozen=True, kw_only=True):
    """What was measured at a step."""

    step: Count
    loss: Number | None
    learning_rate: Number | None = None
    gradient_norm: Number | None = None


class TrainingSettings(Record, frozen=True, kw_only=True):
    """How a model is trained. `why` says why there is no model, or what to do; it is empty where there is one."""

    why: str
    base_model: str
    method: Literal["full", "lora", "qlora"]
    precision: Literal["bf16", "fp32"]
    epochs: Count
    batch_size: Count
    learning_rate: Amount
    max_length: Count
    loss_on: Literal["response", "all"]
    prompt: Literal["alpaca", "chat"]


class TrainedModel(TrainingSettings, frozen=True, kw_only=True, tag_field="state", tag="done"):
    """A trained model.

    `tokens` and `loss_tokens` count all epochs; `mfu` is the share of the device's peak that the model's arithmetic reaches;
    `curve` has at most 200 steps; `model` is its folder, relative to the run's.
    """

    rows: Count
    tokens: Count
    steps: Count
    seconds: Amount | None
    tokens_per_second: Amount | None
    mfu: Amount | None
    loss_first: Number | None
    loss_last: Number | None
    cost_usd: Amount | None
    rows_truncated: Count | None = None
    rows_dropped: Count | None = None
    rows_held_out: Count | None = None
    loss_tokens: Count | None = None
    processes: Count | None = None
    device: str | None = None
    memory_bytes: Count | None = None
    held_out: HeldOutLoss | None = None
    curve: list[LossPoint] | None = None
    model: str | None = None

    @property
    def state(self) -> str:
        """done: the model is there."""
        return "done"


class WrittenJob(TrainingSettings, frozen=True, kw_only=True, tag_field="state", tag="written"):
    """A job that is written here and trained on other machines."""

    @property
    def state(self) -> str:
        """written: another machine trains."""
        return "written"


class WaitingJob(TrainingSettings, frozen=True, kw_only=True, tag_field="state", tag="waiting"):
    """A job that is not started, or that failed."""

    @property
    def state(self) -> str:
        """waiting: there is no model."""
        return "waiting"


TrainingResult = TrainedModel | WrittenJob | WaitingJob


def convert_training(found: object) -> TrainingResult:
    """Return a training result from plain dicts.

    Raises msgspec.ValidationError where a key is missing or a value has the wrong type.
    """
    return msgspec.convert(found, TrainingResult)  # type: ignore[no-any-return]
