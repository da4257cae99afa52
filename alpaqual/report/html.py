"""Report -> HTML: one file that works offline, reads without scripts, and runs no word that came from a row or a model.

A policy in the page's head (CSP) lets run only the scripts whose hashes it names and forbids every request. Charts need no
`unsafe-eval`: vega-embed brings an interpreter for Vega's expressions, used with `ast: true`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from alpaqual.errors import MachineError
from alpaqual.report.html_balance import balance_section
from alpaqual.report.html_charts import Charts
from alpaqual.report.html_datasets import datasets_section
from alpaqual.report.html_graders import graders_section, scores_section
from alpaqual.report.html_rows import rows_section
from alpaqual.report.html_rules import expectations_section, rules_section
from alpaqual.report.html_sources import provenance_section, sources_section
from alpaqual.report.html_thresholds import thresholds_section
from alpaqual.report.html_training import training_section
from alpaqual.report.html_verdict import title_of, verdict_section
from alpaqual.report.markup import Html, join, plain, tag
from alpaqual.report.report import Report

_ASSETS = Path(__file__).parent / "assets"


def to_html(report: Report) -> str:
    """The report as one HTML file.

    Raises MachineError where there is something to draw and the charting library is not installed.
    """
    charts = Charts()
    body = _body(report, charts)
    scripts = [_charting()] if charts.specs else []
    scripts.append(_asset("report.js"))
    data = json.dumps({"charts": charts.specs, "thresholds": charts.thresholds}, separators=(",", ":"))
    parts = ["<!DOCTYPE html>", '<html lang="en">', "<head>", *_head(report, scripts), "</head>", "<body>", body]
    parts.append(f'<script type="application/json" id="data">{_for_script(data)}</script>')
    # Modules run in order, after the page is there, and keep their names to themselves.
    parts += [f'<script type="module">{script}</script>' for script in scripts]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _head(report: Report, scripts: Sequence[str]) -> list[str]:
    style = _asset("report.css")
    allowed = " ".join(_digest(script) for script in scripts)
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; base-uri 'none'; form-action 'none'"
    )
    title = f"{title_of(report)}: {report.verdict.upper()} (alpaqual)"
    return [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{escape(plain(title))}</title>",
        f"<style>{style}</style>",
    ]


def _body(report: Report, charts: Charts) -> Html:
    results = report.results
    sections = [
        ("datasets", "Datasets", datasets_section(results)),
        ("training", "Training", training_section(results, charts)),
        ("scores", "Scores", scores_section(results, charts)),
        ("thresholds", "Thresholds", thresholds_section(results, charts)),
        ("categories", "Category balance", balance_section(results, charts)),
        ("rules", "Rules", rules_section(report)),
        ("expectations", "Expectations", expectations_section(results)),
        ("graders", "Graders", graders_section(results, charts)),
        ("rows", "Rows near the threshold", rows_section(results)),
        ("sources", "Sources", sources_section(results)),
        ("provenance", "Provenance", provenance_section(results)),
    ]
    there = [each for each in sections if each[2]]
    links = tag("ul", *(tag("li", tag("a", name, href=f"#{ident}")) for ident, name, _ in there))
    header = tag("header", verdict_section(report), tag("nav", links, aria_label="Sections") if there else "")
    shown = (tag("section", tag("h2", name), content, id=ident) for ident, name, content in there)
    return join([header, tag("main", *shown), tag("div", id="tip", hidden=True)])


@functools.cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@functools.cache
def _charting() -> str:
    """The charting library, unable to end the element that holds it."""
    try:
        script = _asset("vega.js")
    except FileNotFoundError:
        raise MachineError(
            "the charting library of the HTML report (alpaqual/report/assets/vega.js) is not there: it is made when the package "
            "is built. Install alpaqual with: pip install alpaqual; in a checkout: pip install -e ."
        ) from None
    return re.sub(r"<(?=/?script|!--)", r"\\x3c", script, flags=re.IGNORECASE)


@functools.cache
def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _for_script(data: str) -> str:
    """JSON in ASCII that holds nothing that HTML reads."""
    return data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
