"""Shows how graders' scores agree with those that people gave."""

from __future__ import annotations

from alpaqual.report.html_charts import Charts
from alpaqual.report.html_graders import confusion_figure
from alpaqual.report.known_scores import (
    LEVEL_HEADS,
    LEVELS_MEANING,
    golden_confusion,
    golden_sentence,
    level_rows,
    signed,
)
from alpaqual.report.markup import Html, count, join, named, note, number, table, tag
from alpaqual.results.graders import GoldenResult
from alpaqual.results.results import Results


def known_scores_section(results: Results, charts: Charts) -> Html:
    """Return each grader's agreement with people: coefficients, its bias at each level, and a map of both scores."""
    return join(
        _golden(name, grader.golden, charts) for name, grader in results.graders.items() if grader.golden is not None
    )


def _golden(name: str, golden: GoldenResult, charts: Charts) -> Html:
    found = golden_confusion(name, golden)
    body = [
        [number(level), count(rows), count(scored), "–" if mean is None else f"{mean:.2f}", signed(bias)]
        for level, rows, scored, mean, bias in level_rows(golden)
    ]
    levels = table(LEVEL_HEADS, body, words=(), label=f"Scores of {name} at each level of people's")
    figure = confusion_figure(found, charts) if found is not None else ""
    heading = tag("h3", named(name), " against people")
    return join([heading, tag("p", golden_sentence(name, golden)), levels, note(LEVELS_MEANING), figure])
