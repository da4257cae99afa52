"""Writes a report as HTML: one file that works offline, is readable without scripts, and runs no text of a row or a model.

A content security policy in the head allows only scripts whose hashes it lists, and no request. Charts need no `unsafe-eval`:
vega-embed has an interpreter for Vega's expressions, used with `ast: true`.
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
from alpaqual.report.html_known_scores import known_scores_section
from alpaqual.report.html_rows import rows_section
from alpaqual.report.html_rules import expectations_section, rules_section
from alpaqual.report.html_sources import provenance_section, sources_section
from alpaqual.report.html_thresholds import thresholds_section
from alpaqual.report.html_training import training_section
from alpaqual.report.html_verdict import verdict_section
from alpaqual.report.markup import Html, join, plain, tag
from alpaqual.report.report import Report

_ASSETS = Path(__file__).parent / "assets"


def to_html(report: Report) -> str:
    """Return the report as one HTML file.

    Raises MachineError where a chart is drawn and the charting library is not installed.
    """
    charts = Charts()
    body = _body(report, charts)
    scripts = [_charting()] if charts.specs else []
    scripts.append(_asset("report.js"))
    data = json.dumps({"charts": charts.specs, "thresholds": charts.thresholds}, separators=(",", ":"))
    parts = ["<!DOCTYPE html>", '<html lang="en">', "<head>", *_head(report, scripts), "</head>", "<body>", body]
    parts.append(f'<script type="application/json" id="data">{_for_script(data)}</script>')
    # Module scripts run in order, after the page is parsed, each in its own scope.
    parts += [f'<script type="module">{script}</script>' for script in scripts]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _head(report: Report, scripts: Sequence[str]) -> list[str]:
    style = _asset("report.css")
    allowed = " ".join(_digest(script) for script in scripts)
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; base-uri 'none'; form-action 'none'"
    )
    title = f"{report.title}: {report.verdict.upper()} (alpaqual)"
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
        *_evaluation(report, charts),
        ("scores", "Scores", scores_section(results, charts)),
        ("thresholds", "Thresholds", thresholds_section(results, charts)),
        ("categories", "Category balance", balance_section(results, charts)),
        ("rules", "Rules", rules_section(report)),
        ("expectations", "Expectations", expectations_section(results)),
        ("graders", "Graders", graders_section(results, charts)),
        ("people", "Scores by people", known_scores_section(results, charts)),
        ("rows", "Rows near the threshold", rows_section(results)),
        ("sources", "Sources", sources_section(results)),
        ("provenance", "Provenance", provenance_section(results)),
    ]
    filled = [each for each in sections if each[2]]
    links = tag("ul", *(tag("li", tag("a", name, href=f"#{ident}")) for ident, name, _ in filled))
    header = tag("header", verdict_section(report), tag("nav", links, aria_label="Sections") if filled else "")
    shown = (tag("section", tag("h2", name), content, id=ident) for ident, name, content in filled)
    return join([header, tag("main", *shown), tag("div", id="tip", hidden=True)])


def _evaluation(report: Report, charts: Charts) -> list[tuple[str, str, Html]]:
    evaluation = report.results.evaluation
    if evaluation is None:
        return []
    # Most runs have no evaluation, and its modules take time to import.
    from alpaqual.report.html_evaluation import evaluation_section
    from alpaqual.report.html_judged_items import judged_items_section

    items = judged_items_section(evaluation, report.items)
    return [("evaluation", "Evaluation", evaluation_section(evaluation, charts)), ("items", "Judged items", items)]


@functools.cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@functools.cache
def _charting() -> str:
    """Return the charting library, escaped so that it cannot end its script element."""
    try:
        script = _asset("vega.js")
    except FileNotFoundError:
        raise MachineError(
            "the charting library of the HTML report (alpaqual/report/assets/vega.js) is missing: it is made when the package "
            "is built. Install alpaqual with: pip install alpaqual; in a checkout: pip install -e ."
        ) from None
    return re.sub(r"<(?=/?script|!--)", r"\\x3c", script, flags=re.IGNORECASE)


@functools.cache
def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _for_script(data: str) -> str:
    """Return JSON in ASCII without characters that HTML interprets."""
    return data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
