"""Requests as token sequences, and which of them form a batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from alpaqual.errors import Fault, FaultKind
from alpaqual.values import Request

MAX_PADDING = 0.2
"""Largest share of padding in a batch's tokens."""
_LOGITS_BYTES = 1 << 30
"""Largest logits of one batch, in fp32."""


@dataclass(frozen=True)
class Job:
    """A request as tokens: the prompt, and the response where one is measured.

    Requests of the same `group` can share a batch; `kept` is the number of positions whose logits are needed, `most` the
    tokens of the longest reply.
    """

    request: Request
    group: Hashable
    prompt: Sequence[int]
    response: Sequence[int] = ()
    kept: int = 1
    most: int = 0

    @property
    def length(self) -> int:
        """Tokens of prompt and response."""
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True)
class Answer:
    """A reply's text, its input and output tokens without padding, and why it ended: "stop" or "length"."""

    text: str
    read: int
    written: int = 0
    finish: str | None = None


class Feed(Protocol):
    """Where jobs come from while others are computed, and where their answers go. Called in the model's thread."""

    def take(self, count: int) -> list[Job]:
        """At most `count` more jobs of the same group."""
        ...

    def wants(self, job: Job) -> bool:
        """Whether the answer to a job is still waited for."""
        ...

    def give(self, job: Job, answer: Answer | Fault) -> None:
        """Deliver the answer to a job."""
        ...


class Kind(Protocol):
    """One kind of request."""

    def job(self, request: Request) -> Job:
        """The request as a job. Raises Fault where this request can never be answered."""
        ...

    def answers(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """The answers to jobs of one group, in their order."""
        ...


def check_context(tokens: int, context: int | None) -> None:
    """Raise Fault where a sequence exceeds the model's context; nothing is truncated."""
    if context is not None and tokens > context:
        raise Fault(FaultKind.REQUEST, "longer than the model's context", f"{tokens:,} tokens of {context:,}")


@dataclass(frozen=True)
class BatchLimits:
    """Limits of one batch: sequences, tokens with padding (None: no limit), and positions whose logits are kept."""

    rows: int
    tokens: int | None
    kept: int

    def allow(self, jobs: Sequence[Job]) -> bool:
        """Whether these jobs form one batch with little padding; a single job always does."""
        rows = len(jobs)
        if rows == 1:
            return True
        tokens = rows * max(job.length for job in jobs)
        return (
            rows <= self.rows
            and (self.tokens is None or tokens <= self.tokens)
            and rows * max(job.kept for job in jobs) <= self.kept
            and sum(job.length for job in jobs) >= (1 - MAX_PADDING) * tokens
        )


def batch_limits(rows: int, vocabulary: int, tokens: int | None) -> BatchLimits:
    """The limits of a model's batches; `vocabulary` is its number of tokens."""
    return BatchLimits(rows, tokens, max(1, _LOGITS_BYTES // (4 * vocabulary)))


def next_batch(waiting: Sequence[Job], allowed: Callable[[Sequence[Job]], bool]) -> list[int]:
    """Indices of the next batch, shortest first: the first waiting job, and those nearest to it in length.

    The first one is always included, so that every job is computed at some time.
    """
    order = sorted(
        (at for at, job in enumerate(waiting) if job.group == waiting[0].group), key=lambda at: (waiting[at].length, at)
    )
    low = high = order.index(0)
    length = waiting[0].length
    while True:
        sides = [side for side in (low - 1, high + 1) if 0 <= side < len(order)]
        sides.sort(key=lambda side: abs(waiting[order[side]].length - length))
        for side in sides:
            first, last = min(low, side), max(high, side)
            if allowed([waiting[at] for at in order[first : last + 1]]):
                low, high = first, last
                break
        else:
            return order[low : high + 1]
