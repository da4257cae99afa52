"""Executes `checking` stages: their statements, and nothing else."""

from __future__ import annotations

from alpaqual.execution.stored import StoredHandler
from alpaqual.plan.checking import CheckStage


class Handler(StoredHandler[CheckStage]):
    """Runs the statements of the stage."""
