"""Executes `categorising` stages: their statements, and nothing else."""

from __future__ import annotations

from alpaqual.execution.stored import StoredHandler
from alpaqual.plan.categorizing import CategorizeStage


class Handler(StoredHandler[CategorizeStage]):
    """Runs the statements of the stage."""
