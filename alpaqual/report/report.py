"""A report: the results of a run, ready to be written in any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alpaqual.results.datasets import DatasetResult
from alpaqual.results.results import Reason, Results
from alpaqual.store.judged_items import NO_ITEMS, JudgedItems
from alpaqual.values import State


@dataclass(frozen=True)
class FailingRow:
    """A row that fails a rule: its id, and the column and value that the rule checks; `own_id` is the data's own id as text."""

    id: str
    column: str
    value: str | None
    own_id: str | None = None


@dataclass(frozen=True)
class Report:
    """The results of a run, and failing rows and judged items to quote. Formats read nothing else."""

    results: Results
    examples: Mapping[str, Sequence[FailingRow]]
    """Failing rows by rule; empty unless the recipe asks for them."""
    items: JudgedItems = NO_ITEMS
    """Items that judges saw, with both answers and the judges' replies."""

    @property
    def verdict(self) -> State:
        """pass, warn, incomplete, fail or error."""
        return self.results.verdict

    @property
    def title(self) -> str:
        """The title of the recipe, or its name where it has none."""
        return self.results.recipe.title or self.results.recipe.name

    def reasons(self, state: State) -> list[Reason]:
        """Return the reasons of one state."""
        return [reason for reason in self.results.reasons if reason.state is state]

    @property
    def headline(self) -> str:
        """The number of reasons of each state, and what `--until` left out, in one line without a word from a row."""
        counts = {state: len(self.reasons(state)) for state in (State.ERROR, State.FAIL, State.WARN)}
        parts = [
            f"{count} {_WORD[state]}{'s' if count > 1 and state is not State.FAIL else ''}"
            for state, count in counts.items()
            if count
        ]
        parts += [reason.text for reason in self.reasons(State.INCOMPLETE)]
        return ", ".join(parts) or "all checks pass"


@dataclass(frozen=True)
class HardestFiltered:
    """The category that a threshold filters hardest: its keep rate and that of all rows, by the threshold alone."""

    category: str
    keep_rate: float
    overall: float


def hardest_filtered(dataset: DatasetResult) -> HardestFiltered | None:
    """Return the category with the lowest keep rate by the threshold alone.

    None where no category is below the rate of all rows. Categories of fewer than FEW rows are left out.
    """
    if not dataset.threshold or not dataset.eligible:
        return None
    overall = dataset.at_threshold / dataset.eligible
    rates = {
        name: counts.at_threshold / counts.eligible
        for name, counts in dataset.categories.items()
        if counts.eligible >= FEW
    }
    worst = min(rates, key=lambda name: (rates[name], name), default=None)
    return HardestFiltered(worst, rates[worst], overall) if worst is not None and rates[worst] < overall else None


FEW = 20
"""A category of fewer rows has no rate worth naming."""

_WORD = {State.ERROR: "error", State.FAIL: "failed", State.WARN: "warning"}
