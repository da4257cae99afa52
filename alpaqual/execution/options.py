"""What a run may use of the world while it asks models: the network, money, and somebody to tell how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alpaqual.inference.budget import Limit


@dataclass(frozen=True)
class Progress:
    """How far a grader is: rows done of all, calls made and replies reused, US dollars and seconds since it began."""

    grader: str
    rows: int
    of: int
    made: int
    reused: int
    unscored: int
    cost: float
    seconds: float

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
    """How far a job is: steps done of all, the last one's loss, tokens a second, share of the GPU's speed, bytes; `left` in seconds."""

    dataset: str
    step: int
    of: int
    loss: float
    tokens_per_second: float
    mfu: float | None
    memory_bytes: int | None
    left: float


Watcher = Callable[[Progress | TrainingProgress], None]
"""Is told how grading and training go, a few times a second."""


@dataclass(frozen=True)
class RunOptions:
    """`offline` forbids models to be asked; `max_cost` is shared by all graders of a run; `watch` is told of progress."""

    offline: bool = False
    max_cost: Limit | None = None
    watch: Watcher | None = None
