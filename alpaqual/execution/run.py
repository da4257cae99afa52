"""The outcome of a run: its folder, its stages, and the results that every report is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from alpaqual.errors import EXIT_DATA, EXIT_GOOD, EXIT_STAGE, Problem, RecipeError
from alpaqual.results.results import Results
from alpaqual.values import Fate, State


@dataclass(frozen=True)
class Outcome:
    """How one stage went: run now or reused, in how many seconds."""

    stage: str
    reused: bool
    seconds: float


@dataclass(frozen=True)
class Run:
    """A finished run.

    `results` is what it found, typed: `run.results.datasets["quality"].keep_rate`. The keys of `results.json` read the same
    values, `run.results["datasets"]["quality"]["keep_rate"]`, and `run.results.to_dict()` gives plain dicts.
    """

    folder: Path
    results: Results = field(repr=False)
    outcomes: tuple[Outcome, ...] = field(default=())

    @property
    def verdict(self) -> State:
        """pass, warn, fail, error, or incomplete where `until` stopped the run and nothing failed."""
        return self.results.verdict

    @property
    def exit_code(self) -> int:
        """0 where nothing failed, 1 where it is not, 4 where a stage failed."""
        return {State.FAIL: EXIT_DATA, State.ERROR: EXIT_STAGE}.get(self.verdict, EXIT_GOOD)


def check_names(run: Run, **names: str | None) -> None:
    """Raise RecipeError where a run has no dataset, category, rule or fate of the given name; the message lists those it has."""
    known = {
        "dataset": list(run.results.datasets),
        "category": list(run.results.categories),
        "rule": [rule.id for rule in run.results.rules],
        "fate": [str(fate) for fate in Fate],
    }
    for kind, name in names.items():
        if name is not None and name not in known[kind]:
            there = f"it has: {', '.join(known[kind])}" if known[kind] else "it has none"
            raise RecipeError([Problem(str(run.folder), 0, 0, f"the run has no {kind} '{name}'; {there}")])
