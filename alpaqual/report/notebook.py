"""Writes a report as a short HTML summary for a notebook, without scripts or a style sheet that would affect the notebook."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from alpaqual.report.evaluation_line import evaluation_line
from alpaqual.report.html_datasets import dataset_numbers
from alpaqual.report.markup import NOTHING, Child, Html, count, join, tag
from alpaqual.report.report import Report
from alpaqual.values import State

_MOST_REASONS = 10
_MOST_DATASETS = 30

# Readable on the light and the dark themes of Jupyter.
_COLOUR = {
    State.PASS: "#2e7d32",
    State.WARN: "#b26a00",
    State.INCOMPLETE: "#b26a00",
    State.FAIL: "#d32f2f",
    State.ERROR: "#d32f2f",
}
_NUMBER = "text-align:right;font-variant-numeric:tabular-nums"
_WORD = "text-align:left"


def to_notebook(report: Report, page: Path) -> str:
    """Return the verdict, its reasons, the datasets and a link to the page of the report, from the working directory.

    A notebook shows this for a run that is the value of a cell.
    """
    results = report.results
    verdict = tag("strong", report.verdict.upper(), style=f"color:{_COLOUR[report.verdict]}")
    parts: list[Child] = [tag("p", verdict, " ", tag("strong", report.title), f": {report.headline}")]
    reasons = [
        tag(
            "li",
            f"{reason.state.upper()}: {reason.text} ",
            tag("code", reason.place) if reason.place else "",
        )
        for reason in results.reasons[:_MOST_REASONS]
    ]
    more = len(results.reasons) - len(reasons)
    if more > 0:
        reasons.append(tag("li", f"… and {count(more)} more"))
    parts.append(tag("ul", *reasons) if reasons else "")
    parts.append(_datasets(report))
    if said := evaluation_line(results):
        parts.append(tag("p", f"Evaluation: {said}."))
    parts.append(_link(page))
    return tag("div", *parts)


def _link(page: Path) -> Html:
    """Jupyter opens links that are relative to the folder of the notebook, which is its working directory."""
    relative = Path(os.path.relpath(page))
    link = tag("a", "Open the report", href=quote(relative.as_posix()), target="_blank")
    return tag("p", link, " ", tag("code", str(relative)))


def _datasets(report: Report) -> Html:
    datasets = report.results.datasets
    if not datasets:
        return NOTHING
    shown = {name: dataset_numbers(dataset) for name, dataset in list(datasets.items())[:_MOST_DATASETS]}
    heads = ["dataset", *next(iter(shown.values()))]
    head = [tag("th", title, style=_NUMBER if index else _WORD) for index, title in enumerate(heads)]
    rows = [
        tag("tr", tag("th", name, style=_WORD), *(tag("td", number, style=_NUMBER) for number in numbers.values()))
        for name, numbers in shown.items()
    ]
    more = len(datasets) - len(rows)
    note = tag("p", f"… and {count(more)} more datasets") if more > 0 else ""
    total = tag("p", f"Of {count(report.results.source.rows)} rows:")
    return join([total, tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows)), note])
