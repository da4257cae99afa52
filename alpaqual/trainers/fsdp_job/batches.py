"""Which rows make a step, and how a step is laid out over processes: pure, and the same on every process.

A step is the same rows whatever the number of processes. They are packed whole into micro-batches without padding, of about
the same number of tokens each, as many for every process: sharded weights are gathered once a micro-batch, by all at once.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alpaqual.trainers.fsdp_job.texts import Example


@dataclass(frozen=True)
class Order:
    """The rows of each step. In each epoch rows stand in the order of sha256(seed:epoch:id).

    So the order does not depend on the file's, and rows that two datasets share stand in the same order in both.
    """

    ids: tuple[str, ...]
    batch_size: int
    epochs: int
    seed: int

    @property
    def steps_of_epoch(self) -> int:
        """Steps of an epoch; the last one may have fewer rows."""
        return -(-len(self.ids) // self.batch_size)

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return self.steps_of_epoch * self.epochs

    def rows_from(self, first: int) -> Iterator[tuple[int, list[int]]]:
        """(step, positions in `ids` of its rows) for each step from `first` on, counted from 0."""
        for epoch in range(first // self.steps_of_epoch, self.epochs):
            ordered = self._epoch(epoch)
            for number in range(self.steps_of_epoch):
                step = epoch * self.steps_of_epoch + number
                if step >= first:
                    yield step, ordered[number * self.batch_size : (number + 1) * self.batch_size]

    def _epoch(self, epoch: int) -> list[int]:
        def drawn(position: int) -> tuple[bytes, str]:
            name = self.ids[position]
            return hashlib.sha256(f"{self.seed}:{epoch}:{name}".encode()).digest(), name

        return sorted(range(len(self.ids)), key=drawn)


def lay_out(lengths: Sequence[int], processes: int, tokens: int) -> list[list[list[int]]]:
    """The micro-batches of a step: [micro-batch][process] -> positions in `lengths`, in their order.

    As few as keep every one within `tokens`, where no single row is longer; a process may get an empty one. The longest row
    goes first, to the lightest (LPT scheduling, Graham 1969).
    """
    rounds = max(1, -(-sum(lengths) // (processes * tokens)))
    while True:
        bins, heaviest = _balanced(lengths, rounds * processes)
        if heaviest <= tokens or rounds * processes >= len(lengths):
            return [bins[start : start + processes] for start in range(0, len(bins), processes)]
        rounds += 1


def _balanced(lengths: Sequence[int], count: int) -> tuple[list[list[int]], int]:
    lightest = [(0, number) for number in range(count)]
    bins: list[list[int]] = [[] for _ in range(count)]
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        weight, number = heapq.heappop(lightest)
        bins[number].append(position)
        heapq.heappush(lightest, (weight + lengths[position], number))
    return [sorted(each) for each in bins], max(weight for weight, _ in lightest)


@dataclass(frozen=True)
class MicroBatch:
    """Rows one behind the other, as plain lists, for one process.

    `tokens` and `positions` are of one length T, positions count from each row's start; `starts` has where each row begins,
    and T at the end. `at` has the positions in T whose next token is learned, `targets` those tokens.
    """

    tokens: list[int]
    positions: list[int]
    starts: list[int]
    at: list[int]
    targets: list[int]


def micro_batch(examples: Sequence[Example]) -> MicroBatch:
    """Pack rows. Of no rows: two tokens that nothing is learned from, since every process has to take part.

    Two, for layers that are compiled are compiled anew for a length of one.
    """
    made = MicroBatch([], [], [0], [], [])
    for example in examples:
        offset = len(made.tokens)
        made.tokens.extend(example.tokens)
        made.positions.extend(range(len(example.tokens)))
        made.starts.append(len(made.tokens))
        made.at.extend(range(offset + example.learned - 1, offset + len(example.tokens) - 1))
        made.targets.extend(example.tokens[example.learned :])
    if not made.tokens:
        return MicroBatch([0, 0], [0, 1], [0, 2], [], [])
    return made
