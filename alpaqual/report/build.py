"""Run -> Report. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from alpaqual.report.report import Report
from alpaqual.store.tables import failing_examples


class _Run(Protocol):
    @property
    def folder(self) -> Path: ...
    @property
    def results(self) -> Mapping[str, Any]: ...


def build_report(run: _Run) -> Report:
    """The report of a run."""
    wanted = run.results.get("settings", {}).get("examples", 0)
    failing = [rule["id"] for rule in run.results.get("rules", ()) if rule["failing_rows"] and rule["state"] != "pass"]
    return Report(run.results, failing_examples(run.folder, failing, wanted) if wanted and failing else {})
