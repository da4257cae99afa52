"""Executes `assessing` stages: their statements, and nothing else."""

from __future__ import annotations

from alpaqual.execution.stored import StoredHandler
from alpaqual.plan.assessing import AssessStage


class Handler(StoredHandler[AssessStage]):
    """Runs the statements of the stage."""
