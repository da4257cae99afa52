"""What is computed for one request, and which requests are computed together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from alpaqual.errors import Fault, FaultKind
from alpaqual.values import Request

WASTE = 0.2
"""Padding may be this share of a batch's tokens."""
_LOGITS_BYTES = 1 << 30
"""Logits of one batch, counted in fp32."""


@dataclass(frozen=True)
class Job:
    """A request in tokens: what is asked, and the response that is measured, where one is.

    `group` is the same for requests that can be computed together; `kept` is how many positions' logits it needs.
    """

    request: Request
    group: Hashable
    prompt: Sequence[int]
    response: Sequence[int] = ()
    kept: int = 1

    @property
    def length(self) -> int:
        """Tokens that are read."""
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True)
class Answer:
    """A reply's text, and the tokens that were read and written for it, without padding."""

    text: str
    read: int
    written: int = 0


class Kind(Protocol):
    """One kind of request."""

    def job(self, request: Request) -> Job:
        """The request in tokens. Raises Fault where this request can never be answered."""
        ...

    def answers(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """The answers to jobs of one group, in their order."""
        ...


def fit(tokens: int, context: int | None) -> None:
    """Raises Fault where so many tokens are more than the model's context: nothing is ever cut off."""
    if context is not None and tokens > context:
        raise Fault(FaultKind.REQUEST, "longer than the model's context", f"{tokens:,} tokens of {context:,}")


@dataclass(frozen=True)
class Room:
    """What one batch may hold: rows, tokens with padding (None: any), and positions whose logits are kept."""

    rows: int
    tokens: int | None
    kept: int

    def takes(self, jobs: Sequence[Job]) -> bool:
        """Whether these fit into one batch, with little padding; one alone always does."""
        rows = len(jobs)
        if rows == 1:
            return True
        tokens = rows * max(job.length for job in jobs)
        return (
            rows <= self.rows
            and (self.tokens is None or tokens <= self.tokens)
            and rows * max(job.kept for job in jobs) <= self.kept
            and sum(job.length for job in jobs) >= (1 - WASTE) * tokens
        )


def room_of(rows: int, vocabulary: int, tokens: int | None) -> Room:
    """The room for batches of a model with so many words."""
    return Room(rows, tokens, max(1, _LOGITS_BYTES // (4 * vocabulary)))


def mates(waiting: Sequence[Job], takes: Callable[[Sequence[Job]], bool]) -> list[int]:
    """Which of those that wait go into the next batch, shortest first: the first, and those nearest to it in length.

    The first one always goes, so that none waits for ever.
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
            if takes([waiting[at] for at in order[first : last + 1]]):
                low, high = first, last
                break
        else:
            return order[low : high + 1]
