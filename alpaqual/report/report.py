"""A report: what a run found, ready to be written as text of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.values import State


@dataclass(frozen=True)
class Report:
    """The results of a run, and its reasons by state. Renderers read nothing else."""

    results: Mapping[str, Any]
    examples: Mapping[str, Sequence[Mapping[str, Any]]]
    """Failing rows to quote, by rule; empty unless the recipe asks for them."""

    @property
    def verdict(self) -> State:
        """pass, warn, fail or error."""
        return State(self.results["verdict"])

    def reasons(self, state: State) -> list[Mapping[str, str]]:
        """Why the verdict is what it is, for one state."""
        return [reason for reason in self.results["reasons"] if reason["state"] == state]

    @property
    def headline(self) -> str:
        """One line without a word that comes from a row: the verdict and the first reasons for it."""
        counts = {state: len(self.reasons(state)) for state in (State.ERROR, State.FAIL, State.WARN)}
        parts = [
            f"{count} {_WORD[state]}{'s' if count > 1 and state is not State.FAIL else ''}"
            for state, count in counts.items()
            if count
        ]
        return ", ".join(parts) or "everything holds"


def hardest_filtered(dataset: Mapping[str, Any]) -> tuple[str, float, float] | None:
    """The category that a dataset's threshold filters hardest against all rows: its name, its keep rate, the overall one.

    None where no category is kept less than all rows are. Categories of fewer than FEW rows say nothing.
    """
    if not dataset["threshold"] or not dataset["eligible"]:
        return None
    overall = dataset["at_threshold"] / dataset["eligible"]
    rates = {
        name: c["at_threshold"] / c["eligible"]
        for name, c in dataset["categories"].items()
        if c.get("eligible", 0) >= FEW
    }
    worst = min(rates, key=lambda name: (rates[name], name), default=None)
    return (worst, rates[worst], overall) if worst is not None and rates[worst] < overall else None


FEW = 20
_WORD = {State.ERROR: "error", State.FAIL: "failed", State.WARN: "warning"}
