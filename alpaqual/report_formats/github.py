"""Workflow commands of GitHub Actions, which annotate the lines of the recipe and the rules."""

from __future__ import annotations

from alpaqual.report.report import Report


class Plugin:
    """Workflow commands of GitHub Actions, which annotate the lines of the recipe and the rules."""

    FILE = None

    def text(self, report: Report) -> str:
        """Return the report in this format."""
        from alpaqual.report.github import to_github

        return to_github(report)
