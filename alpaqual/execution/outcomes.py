"""Keeps the outcomes of a few thousand items in memory; their replies are in the ledger."""

from __future__ import annotations

from typing import Generic, TypeVar

from alpaqual.inference.loop import Outcome, Task

Item = TypeVar("Item")
Result = TypeVar("Result")


class OutcomeSink(Generic[Item, Result]):
    """The outcomes of an inference loop, by the id that its task gives an item."""

    def __init__(self, task: Task[Item, Result]) -> None:
        self.task = task
        self.found: dict[str, Outcome[Result]] = {}

    def __len__(self) -> int:
        return 0

    def add(self, item: Item, outcome: Outcome[Result]) -> None:
        """Take one outcome."""
        self.found[self.task.id(item)] = outcome

    def write(self) -> None:
        """Pass: nothing is left to write."""
