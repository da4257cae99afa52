"""What a run leaves: its folder, what became of each stage, and the results that every report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alpaqual.errors import EXIT_DATA, EXIT_GOOD, EXIT_STAGE
from alpaqual.values import State


@dataclass(frozen=True)
class Outcome:
    """How one stage went: done now or reused, in how many seconds."""

    stage: str
    reused: bool
    seconds: float


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    results: Mapping[str, Any] = field(repr=False)
    outcomes: tuple[Outcome, ...] = field(default=())

    @property
    def verdict(self) -> State:
        """pass, warn, fail or error."""
        return State(self.results["verdict"])

    @property
    def exit_code(self) -> int:
        """0 where the data is good, 1 where it is not, 4 where a stage failed."""
        return {State.FAIL: EXIT_DATA, State.ERROR: EXIT_STAGE}.get(self.verdict, EXIT_GOOD)
