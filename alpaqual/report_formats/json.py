"""The results as JSON, as in `results.json`."""

from __future__ import annotations

from alpaqual.report.report import Report
from alpaqual.results.file import results_text


class Plugin:
    """The results as JSON, as in `results.json`."""

    # results.json is written last by the run itself: it marks the run as finished.
    FILE = None

    def text(self, report: Report) -> str:
        """Return the report in this format."""
        return results_text(report.results)
