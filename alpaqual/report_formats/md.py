"""GitHub-flavoured Markdown, for a comment on a pull request."""

from __future__ import annotations

from alpaqual.report.report import Report


class Plugin:
    """GitHub-flavoured Markdown, for a comment on a pull request."""

    FILE = "report.md"

    def text(self, report: Report) -> str:
        """Return the report in this format."""
        from alpaqual.report.markdown import to_markdown

        return to_markdown(report)
