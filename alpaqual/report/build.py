"""Builds the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from alpaqual.report.report import FailingRow, Report
from alpaqual.results.results import Results
from alpaqual.store.judged_items import NO_ITEMS, judged_items
from alpaqual.store.tables import failing_examples
from alpaqual.values import State


class FinishedRun(Protocol):
    """A run that has ended: its folder and what it found."""

    @property
    def folder(self) -> Path: ...
    @property
    def results(self) -> Results: ...


def build_report(run: FinishedRun) -> Report:
    """Build the report of a run; reads failing rows and judged items from its folder where the recipe lets a report quote them."""
    wanted = run.results.settings.examples
    failing = [rule.id for rule in run.results.rules if rule.failing_rows and rule.state is not State.PASS]
    found = failing_examples(run.folder, failing, wanted) if wanted and failing else {}
    examples = {rule: [FailingRow(**row) for row in rows] for rule, rows in found.items()}
    quoting = run.results.evaluation is not None and run.results.settings.samples
    return Report(run.results, examples, judged_items(run.folder) if quoting else NO_ITEMS)
