"""Executes `selecting` stages: their statements, and nothing else."""

from __future__ import annotations

from alpaqual.execution.stored import StoredHandler
from alpaqual.plan.selecting import SelectStage


class Handler(StoredHandler[SelectStage]):
    """Runs the statements of the stage."""
