"""Finds the formats of a report: their names, their files in the run folder, and a report as text."""

from __future__ import annotations

from alpaqual import registry
from alpaqual.contracts import ReportFormat
from alpaqual.report.report import Report

_KIND = "report_formats"


def format_names() -> tuple[str, ...]:
    """Return the names of all formats, those of other packages too (entry points of `alpaqual.report_formats`)."""
    return registry.names(_KIND)


def report_text(report: Report, name: str) -> str:
    """Return a report in the format of a name.

    Raises MachineError where no format has this name, or where a package that it needs is missing.
    """
    return _format(name).text(report)


def report_files() -> dict[str, str]:
    """Return the file in the run folder of each format that `alpaqual run` writes."""
    files = {name: _format(name).FILE for name in format_names()}
    return {name: file for name, file in files.items() if file is not None}


def _format(name: str) -> ReportFormat:
    plugin: ReportFormat = registry.find(_KIND, name)()
    return plugin
