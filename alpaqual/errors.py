"""Every error raised on purpose.

AlpaqualError            what the command line prints without a traceback        exit 4
├── RecipeError          the recipe is wrong; .problems has all, with places     exit 2
├── MachineError         this machine lacks something; says what to run          exit 3
└── StageError           a stage failed; what was done is kept                   exit 4
    └── StoreError       a stored result is missing or not what its seal says    exit 4

Exit 0 is good data (warnings allowed), exit 1 is data that is not good: a run that ends so is no error, its report says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EXIT_GOOD = 0
EXIT_DATA = 1
EXIT_RECIPE = 2
EXIT_MACHINE = 3
EXIT_STAGE = 4


class AlpaqualError(Exception):
    """The root: a message for a person, never a traceback."""

    exit_code = EXIT_STAGE


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a text that a person wrote: where (line and column count from 1; 0 is "the whole file") and what."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        if not self.line:
            return f"{self.file}: {self.message}"
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class RecipeError(AlpaqualError):
    """The recipe, or a file it names, is wrong. Carries every problem found, in order of place."""

    exit_code = EXIT_RECIPE

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class MachineError(AlpaqualError):
    """This machine lacks something: the message names the command to run."""

    exit_code = EXIT_MACHINE


class StageError(AlpaqualError):
    """A stage failed. What was done before is kept; run again and it goes on."""


class StoreError(StageError):
    """A stored result is missing or is not what its seal says."""
