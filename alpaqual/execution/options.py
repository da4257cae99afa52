"""Options of a run that do not change its result: offline, a cost limit, a progress callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alpaqual.inference.limit import Limit


@dataclass(frozen=True)
class Progress:
    """Progress of a grader, or of another stage that asks a model: rows (or turns, as `items` says) done `of` all, calls made, replies reused, US dollars, seconds since its start. `priced` is False where no price is known."""

    grader: str
    rows: int
    of: int
    made: int
    reused: int
    unscored: int
    cost: float
    seconds: float
    items: str = "rows"
    priced: bool = True
    work: str = "grading"
    """What is done: grading, or the kind of another stage."""

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float:
        """Seconds until the last row, at this rate."""
        return (self.of - self.rows) / self.rate if self.rate else 0.0


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a training job: steps done `of` all, loss of the last step, tokens a second, MFU, bytes, seconds left."""

    dataset: str
    step: int
    of: int
    loss: float
    tokens_per_second: float
    mfu: float | None
    memory_bytes: int | None
    left: float


Watcher = Callable[[Progress | TrainingProgress], None]
"""Called with the progress of grading and training, a few times a second."""


@dataclass(frozen=True)
class RunOptions:
    """`offline` forbids requests to models; all graders of a run share `max_cost`; `watch` is called with progress."""

    offline: bool = False
    max_cost: Limit | None = None
    watch: Watcher | None = None
