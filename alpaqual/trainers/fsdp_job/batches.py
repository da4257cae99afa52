"""Which rows make a step, and how a step is packed into micro-batches: pure, and the same on every rank.

A step has the same rows whatever the world size. Rows are packed whole, without padding, into micro-batches of about equal
token counts, as many for every rank: sharded weights are gathered once a micro-batch, by all ranks together.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alpaqual.trainers.fsdp_job.tokenization import Example


@dataclass(frozen=True)
class Order:
    """The rows of each step. In each epoch rows are sorted by sha256(seed:epoch:id).

    The order does not depend on the file's, and rows that two datasets share come in the same order in both.
    """

    ids: tuple[str, ...]
    batch_size: int
    epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the last one may have fewer rows."""
        return -(-len(self.ids) // self.batch_size)

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return self.steps_per_epoch * self.epochs

    def steps_from(self, first: int) -> Iterator[tuple[int, list[int]]]:
        """Yield (step, positions in `ids` of its rows) for each step from `first` on, counted from 0."""
        for epoch in range(first // self.steps_per_epoch, self.epochs):
            ordered = self._shuffle(epoch)
            for number in range(self.steps_per_epoch):
                step = epoch * self.steps_per_epoch + number
                if step >= first:
                    yield step, ordered[number * self.batch_size : (number + 1) * self.batch_size]

    def _shuffle(self, epoch: int) -> list[int]:
        def key(position: int) -> tuple[bytes, str]:
            name = self.ids[position]
            return hashlib.sha256(f"{self.seed}:{epoch}:{name}".encode()).digest(), name

        return sorted(range(len(self.ids)), key=key)


def plan_micro_batches(lengths: Sequence[int], world_size: int, max_tokens: int) -> list[list[list[int]]]:
    """Assign the rows of a step to micro-batches: [micro-batch][rank] -> positions in `lengths`, ascending.

    As few micro-batches as keep each within `max_tokens`, unless a single row is longer; a rank may get an empty one. The
    longest row goes first, to the emptiest micro-batch (LPT scheduling, Graham 1969).
    """
    rounds = max(1, -(-sum(lengths) // (world_size * max_tokens)))
    while True:
        bins, largest = _balance(lengths, rounds * world_size)
        if largest <= max_tokens or rounds * world_size >= len(lengths):
            return [bins[start : start + world_size] for start in range(0, len(bins), world_size)]
        rounds += 1


def _balance(lengths: Sequence[int], count: int) -> tuple[list[list[int]], int]:
    """Distribute positions over `count` bins; the bins, and the tokens of the largest."""
    heap = [(0, number) for number in range(count)]
    bins: list[list[int]] = [[] for _ in range(count)]
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        tokens, number = heapq.heappop(heap)
        bins[number].append(position)
        heapq.heappush(heap, (tokens + lengths[position], number))
    return [sorted(each) for each in bins], max(tokens for tokens, _ in heap)


@dataclass(frozen=True)
class MicroBatch:
    """Packed rows of one rank, as plain lists: T tokens, of which N are predicted with loss.

    `input_ids` and `position_ids` have length T; positions restart at 0 in each row. `cu_seqlens` has the start of each row,
    and T at the end. `loss_positions` (N) are the positions whose next token has loss, `targets` (N) those tokens.
    """

    input_ids: list[int]
    position_ids: list[int]
    cu_seqlens: list[int]
    loss_positions: list[int]
    targets: list[int]


def pack(examples: Sequence[Example]) -> MicroBatch:
    """Pack rows one behind the other. Without rows: two tokens without loss, since every rank has to take part.

    Two, because compiled layers would be recompiled for a length of one.
    """
    batch = MicroBatch([], [], [0], [], [])
    for example in examples:
        offset = len(batch.input_ids)
        batch.input_ids.extend(example.tokens)
        batch.position_ids.extend(range(len(example.tokens)))
        batch.cu_seqlens.append(len(batch.input_ids))
        for start, end in example.loss:
            # Each token is predicted by the one before it.
            batch.loss_positions.extend(range(offset + start - 1, offset + end - 1))
            batch.targets.extend(example.tokens[start:end])
    if not batch.input_ids:
        return MicroBatch([0, 0], [0, 1], [0, 2], [], [])
    return batch
