"""Every error that alpaqual raises itself.

AlpaqualError            what the command line prints without a traceback        exit 4
├── RecipeError          the recipe is wrong; .problems has all, with places     exit 2
├── MachineError         this machine lacks something; says what to run          exit 3
└── StageError           a stage failed; what was done is kept                   exit 4
    ├── QueryError       an engine refused a statement; .reason is its message   exit 4
    └── StoreError       a stored result is missing or differs from its seal     exit 4

Two more are caught by the code that sends requests, and never reach a user:

Fault                    one request got no reply; .kind says how to continue
BudgetReached            the next request might exceed a limit of money

Exit 0: the data is good (warnings allowed). Exit 1: the data is not good, which is a result, not an error; the report says why.
Exit 130: stopped by Control-C. Exit 143: stopped by SIGTERM. Both keep what is finished, and the next run resumes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

EXIT_GOOD = 0
EXIT_DATA = 1
EXIT_RECIPE = 2
EXIT_MACHINE = 3
EXIT_STAGE = 4
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class AlpaqualError(Exception):
    """The root of all errors: a message for a person, without a traceback."""

    exit_code = EXIT_STAGE


class Problem(NamedTuple):
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
    """A stage failed. Earlier results are kept; a rerun resumes."""


class QueryError(StageError):
    """An engine refused a statement; `reason` is its message without the statement."""

    def __init__(self, what: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{what}: {reason}")


class StoreError(StageError):
    """A stored result is missing or differs from its seal."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: the run ends as after Control-C, and what is finished is kept."""

    exit_code = EXIT_TERMINATED


_MAX_WORDS = 100
_NUMBER = re.compile(r"\b[0-9a-f]{12,}\b|\d{4,}")
"""Ids and counts, which would give every row a reason of its own."""


class FaultKind(StrEnum):
    """How to continue after a request that got no reply."""

    THROTTLED = "throttled"
    """Rate limit: all requests pause, then this one is retried."""
    TRANSIENT = "transient"
    """Server error, lost connection or timeout: the request is retried."""
    REQUEST = "request"
    """The model will never answer this request, but may answer others: its row is unscored."""
    REFUSED = "refused"
    """The server refuses the request without a known reason: its row or the settings are wrong."""
    DENIED = "denied"
    """The server denies access (key, model, address, a gateway's budget): for every request, or for this one."""
    FATAL = "fatal"
    """No request will be answered: sending stops."""


class Fault(Exception):  # noqa: N818 - a value that is raised: the caller decides how to continue
    """One request got no reply.

    `reason` is a short text for tables, the same for the same cause; `detail` has the provider's message; `retry_after` is
    the number of seconds that the server asked to wait, where it did. `lost`: the request may have been answered, and billed.
    `usage` has the tokens that the provider bills for it (fields of a Reply), where it counted them.
    """

    def __init__(self, kind: FaultKind, reason: str, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.kind = kind
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.lost = False
        self.usage: Mapping[str, Any] = {}

    @property
    def unsettled(self) -> bool:
        """Whether a later reply has to show that this row is refused, and not every one."""
        return self.kind in (FaultKind.REFUSED, FaultKind.DENIED)

    def settle(self) -> None:
        """Make the fault the row's: the server has answered a later request. Its reason then has the provider's words."""
        self.kind = FaultKind.REQUEST
        words = _NUMBER.sub("…", self.detail)
        if words and words not in self.reason:
            self.reason = f"{self.reason}: {words if len(words) <= _MAX_WORDS else words[:_MAX_WORDS] + '…'}"


class BudgetReached(Exception):  # noqa: N818 - not an error: a limit that was kept
    """The next request might exceed a limit of money; the text names it and the amount spent."""
