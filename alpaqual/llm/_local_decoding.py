"""Decodes replies token by token: a finished one leaves the batch, and the next one takes its place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from alpaqual.llm._local_cache import grow_in_place
from alpaqual.llm._local_forward import Forward, Prefix
from alpaqual.llm._local_jobs import Feed, Job
from alpaqual.llm._local_sampling import Sampler

_REFILL_SHARE = 8
"""New replies start when one in this many places of a batch is free: each start reads prompts while the others wait."""


@dataclass
class Row:
    """A reply in progress: its job, and the tokens written so far."""

    job: Job
    sampler: Sampler
    written: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens that have been read: all but the newest one."""
        return len(self.job.prompt) + len(self.written) - 1


class Decoder:
    """One batch of replies in progress. `finished` is called with each row when it ends."""

    def __init__(
        self, forward: Forward, ends: frozenset[int], places: int, feed: Feed, finished: Callable[[Row], None]
    ) -> None:
        self.forward = forward
        self.ends = ends
        self.places = places
        self.feed = feed
        self.finished = finished
        self.rows: list[Row] = []
        self.prefix: Prefix | None = None

    def run(self, jobs: Sequence[Job]) -> None:
        """Write the replies to `jobs`, and to those that the feed has meanwhile."""
        waiting = deque(jobs)
        while True:
            self._fill(waiting)
            if self.prefix is None:
                return
            self._step(self.prefix)

    def _fill(self, waiting: deque[Job]) -> None:
        """Start replies in the free places."""
        while True:
            free = self.places - len(self.rows)
            if self.prefix is not None and (free * _REFILL_SHARE < self.places or not self.forward.joins(self.prefix)):
                return
            new = [waiting.popleft() for _ in range(min(free, len(waiting)))]
            new += self.feed.take(free - len(new)) if free > len(new) else []
            if not new:
                return
            self._start(new)

    def _start(self, jobs: Sequence[Job]) -> None:
        """Read the prompts of new replies, choose their first tokens, and let them join the batch."""
        rows = [Row(job, Sampler(job.request)) for job in jobs]
        logits, prefix = self.forward.read([job.prompt for job in jobs], 1, cached=True)
        self._write(rows, logits)
        rows = self._without_ended(rows, prefix)
        if not rows:
            return
        self.prefix = prefix if self.prefix is None else self.forward.join(self.prefix, prefix)
        grow_in_place(self.prefix.cache)
        self.rows += rows

    def _step(self, prefix: Prefix) -> None:
        """Write one token of each reply."""
        import torch

        newest = torch.tensor([[row.written[-1]] for row in self.rows], device=self.forward.device)
        self._write(self.rows, self.forward.extend(prefix, newest))
        self.rows = self._without_ended(self.rows, prefix)
        if not self.rows:
            self.prefix = None

    def _write(self, rows: Sequence[Row], logits: Any) -> None:
        # One transfer for the whole batch: each one synchronizes with the GPU.
        likeliest = logits[:, -1].argmax(-1).tolist()
        for row, scores, best in zip(rows, logits, likeliest, strict=True):
            row.written.append(row.sampler.next_token(scores[-1], best))

    def _has_ended(self, row: Row) -> bool:
        complete = len(row.written) >= row.job.most or row.written[-1] in self.ends
        return complete or not self.feed.wants(row.job)

    def _without_ended(self, rows: list[Row], prefix: Prefix) -> list[Row]:
        """The rows that continue, which are then the prefix's; the others are finished."""
        ended = [self._has_ended(row) for row in rows]
        if not any(ended):
            return rows
        left = [at for at, end in enumerate(ended) if not end]
        for row, end in zip(rows, ended, strict=True):
            if end:
                self.finished(row)
        rows = [rows[at] for at in left]
        if rows:
            self.forward.select(prefix, left, max(row.length for row in rows))
        return rows
