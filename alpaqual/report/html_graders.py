"""The graders: how their scores lie, where they come from, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpaqual.report.charts import histogram
from alpaqual.report.html_charts import Charts, histogram_figure
from alpaqual.report.markup import NOTHING, Child, Html, count, join, named, plain, records, tag

_WORDS = ("grader", "dimension", "scores from", "scale", "why unscored")


def scores_section(results: Mapping[str, Any], charts: Charts) -> Html:
    """A histogram of each grader's scores."""
    graders: Mapping[str, Any] = results.get("graders", {})
    figures = [_histogram(name, grader, charts) for name, grader in graders.items() if grader["histogram"]]
    return tag("div", *figures, class_="grid") if figures else NOTHING


def _histogram(name: str, grader: Mapping[str, Any], charts: Charts) -> Html:
    unscored = f", {count(grader['unscored'])} unscored" if grader["unscored"] else ""
    caption = join([named(name), f" · {count(grader['scored'])} scored", unscored])
    spec = histogram(grader["histogram"], grader["scale"], title=plain(grader["dimension"]))
    return histogram_figure(charts.add(spec), caption, grader["histogram"])


def graders_section(results: Mapping[str, Any]) -> Html:
    """A table of all graders."""
    graders: Mapping[str, Any] = results.get("graders", {})
    return records([_row(name, grader) for name, grader in graders.items()], words=_WORDS, label="Graders")


def _row(name: str, grader: Mapping[str, Any]) -> dict[str, Child]:
    models = (model for model in grader["models"] if model not in grader["source"])
    reasons = grader["unscored_reasons"].items()
    return {
        "grader": name,
        "dimension": grader["dimension"],
        "scores from": ", ".join([grader["source"], *models]),
        "scale": _scale(grader["scale"]),
        "scored": count(grader["scored"]),
        "unscored": count(grader["unscored"]),
        "why unscored": ", ".join(f"{reason}: {count(rows)}" for reason, rows in reasons),
        "calls": count(grader["calls_made"]),
        "reused": count(grader["calls_reused"]),
        "tokens in": count(grader["input_tokens"]),
        "tokens out": count(grader["output_tokens"]),
        "cost": f"${grader['cost_usd']:,.2f}",
    }


def _scale(scale: Mapping[str, Any]) -> str:
    steps = f" by {scale['step']:g}" if scale.get("step") else ""
    return f"{scale['min']:g} to {scale['max']:g}{steps}"
