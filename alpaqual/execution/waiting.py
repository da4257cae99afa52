"""A stage that did not run."""

from __future__ import annotations

from dataclasses import dataclass

from alpaqual.errors import AlpaqualError


@dataclass(frozen=True)
class Waiting:
    """A stage of an evaluation without a result: why, and the error where it failed. A later run takes it up again."""

    why: str
    error: AlpaqualError | None = None
    finished: bool = False
