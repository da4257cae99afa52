"""Writes a report as workflow commands, which GitHub shows beside the lines of the recipe and the rules."""

from __future__ import annotations

from alpaqual.report.escape import command_message, command_property
from alpaqual.report.evaluation_line import evaluation_line
from alpaqual.report.provenance import made_by
from alpaqual.report.report import Report
from alpaqual.values import State

_LEVEL = {State.ERROR: "error", State.FAIL: "error", State.WARN: "warning"}
MOST = 10
"""GitHub shows ten errors and ten warnings of a step."""


def to_github(report: Report) -> str:
    """Return one annotation for each reason, the worst first."""
    lines: list[str] = []
    for state in _LEVEL:
        for reason in report.reasons(state)[:MOST]:
            file, _, line = reason.place.rpartition(":")
            place = f" file={command_property(file)},line={line}" if file and line.isdigit() else ""
            lines.append(f"::{_LEVEL[state]}{place}::{command_message(reason.text)}")
    if said := evaluation_line(report.results):
        lines.append(command_message(f"alpaqual: evaluation: {said}"))
    made = "; ".join(f"{name} {value}" for name, value in made_by(report.results))
    lines.append(command_message(f"alpaqual: {report.verdict.upper()} ({report.headline}){made and '; '}{made}"))
    return "\n".join(lines) + "\n"
