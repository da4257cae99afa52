"""Finds the formats of a report: their names, the files of the run folder, and the text of a report in one of them."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Protocol

from alpaqual import registry
from alpaqual.report.report import Report

KIND = "report_formats"
"""The package of our own formats, and with `alpaqual.` before it the entry-point group of others."""


class ReportFormat(Protocol):
    """A format that a report can be written in.

    `file` is its name in the run folder, None for a format that `alpaqual run` does not write.
    """

    file: str | None

    def text(self, report: Report) -> str:
        """Return the report in this format.

        Raises MachineError where something that the format needs is not installed.
        """
        ...


@cache
def format_names() -> tuple[str, ...]:
    """Return the names of all formats, ours first."""
    own = registry.names(KIND)
    others = sorted(entry.name for entry in entry_points(group=f"alpaqual.{KIND}"))
    return tuple(dict.fromkeys((*own, *others)))


def report_text(report: Report, name: str) -> str:
    """Return a report in the format of a name.

    Raises MachineError where no format has this name, or where something that it needs is not installed.
    """
    return _format(name).text(report)


def report_files() -> dict[str, str]:
    """Return the formats that `alpaqual run` writes: the name of each file of the run folder, by format."""
    files = {name: _format(name).file for name in format_names()}
    return {name: file for name, file in files.items() if file is not None}


def _format(name: str) -> ReportFormat:
    plugin: ReportFormat = registry.find(KIND, name)()
    return plugin
