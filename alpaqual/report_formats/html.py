"""One HTML file with charts, which works offline."""

from __future__ import annotations

from alpaqual.report.report import Report


class Plugin:
    """One HTML file with charts, which works offline."""

    FILE = "report.html"

    def text(self, report: Report) -> str:
        """Return the report in this format."""
        from alpaqual.report.html import to_html

        return to_html(report)
