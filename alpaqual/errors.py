"""Every error raised on purpose.

AlpaqualError            what the command line prints without a traceback        exit 4
├── RecipeError          the recipe is wrong; .problems has all, with places     exit 2
├── MachineError         this machine lacks something; says what to run          exit 3
└── StageError           a stage failed; what was done is kept                   exit 4
    ├── QueryError       an engine refused a statement; .reason has its words    exit 4
    └── StoreError       a stored result is missing or not what its seal says    exit 4

Two more never reach a user, because whoever asks models catches them:

Fault                    one request got no reply; what follows from it is in .kind
BudgetReached            the next request might cost more than it may

Exit 0 is good data (warnings allowed), exit 1 is data that is not good: a run that ends so is no error, its report says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

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


class QueryError(StageError):
    """An engine refused a statement; `reason` has its words without the statement."""

    def __init__(self, what: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{what}: {reason}")


class StoreError(StageError):
    """A stored result is missing or is not what its seal says."""


class FaultKind(StrEnum):
    """What follows from a request that got no reply."""

    THROTTLED = "throttled"
    """Asked too fast: everybody waits, then the request is sent again."""
    TRANSIENT = "transient"
    """A server, a line or a clock failed: the request is sent again."""
    REQUEST = "request"
    """The model will never answer this request, and may well answer others: its row is unscored."""
    REFUSED = "refused"
    """The server refuses what was sent and does not say that it is this row's fault: where all are refused, the settings are wrong."""
    FATAL = "fatal"
    """No request will be answered (a wrong key, an unknown model, no money): nothing more is sent."""


class Fault(Exception):  # noqa: N818 - a value that is raised: what follows from it is decided by who asked
    """One request got no reply.

    `reason` is short and the same for the same cause, for tables; `detail` has the provider's words; `retry_after` is in
    seconds, where the server named a time.
    """

    def __init__(self, kind: FaultKind, reason: str, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.kind = kind
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after


class BudgetReached(Exception):  # noqa: N818 - no error: a limit that was kept
    """The next request might pass a limit of money; the text says which, and what is spent."""
