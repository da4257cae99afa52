"""JUnit XML, for the test view of a CI system."""

from __future__ import annotations

from alpaqual.report.report import Report


class Plugin:
    """JUnit XML, for the test view of a CI system."""

    FILE = "junit.xml"

    def text(self, report: Report) -> str:
        """Return the report in this format."""
        from alpaqual.report.junit import to_junit

        return to_junit(report)
