"""Shows the graders: their scores, where these come from, what they cost, and whether a grader has drifted."""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.report.charts import confusion_map, histogram
from alpaqual.report.graders import (
    Confusion,
    Graders,
    cascade_sentence,
    checks,
    confusion,
    cost_of,
    money_sentences,
    readings,
    samples_sentence,
    scores_from,
    title,
    unscored_reasons,
    with_requests,
)
from alpaqual.report.html_charts import Charts, histogram_figure, place
from alpaqual.report.markup import (
    NOTHING,
    Child,
    Html,
    badge,
    count,
    folded,
    join,
    named,
    note,
    number,
    plain,
    records,
    table,
    tag,
)
from alpaqual.results.graders import GraderResult, ScoreScale
from alpaqual.results.results import Results

_WORDS = ("grader", "dimension", "scores from", "scale", "why unscored")
_HEALTH_WORDS = ("grader", "check", "state", "found", "warns", "fails")
_MOST_SCORES = 41
"""A table of numbers has a column for each of at most this many scores."""


def scores_section(results: Results, charts: Charts) -> Html:
    """Return a histogram of each grader's scores."""
    figures = [_histogram(name, grader, charts) for name, grader in results.graders.items() if grader.histogram]
    return tag("div", *figures, class_="grid") if figures else NOTHING


def _histogram(name: str, grader: GraderResult, charts: Charts) -> Html:
    unscored = f", {count(grader.unscored)} unscored" if grader.unscored else ""
    caption = join([named(name), f" · {count(grader.scored)} scored", unscored])
    spec = histogram(grader.histogram, grader.scale, title=plain(f"score ({grader.dimension})"))
    return histogram_figure(charts.add(spec), caption, grader.histogram)


def graders_section(results: Results, charts: Charts) -> Html:
    """Return a table of all graders, their costs, their health, and how graders that are compared agree."""
    graders = results.graders
    rows = [_row(name, grader) for name, grader in graders.items()]
    costs = [_costs(name, graders[name]) for name in with_requests(graders)]
    sentences = [
        write(name, grader) for name, grader in graders.items() for write in (cascade_sentence, samples_sentence)
    ]
    saved = (tag("p", text) for text in sentences if text)
    maps = [each for name, grader in graders.items() if (each := confusion(name, grader)) is not None]
    return join(
        [
            records(rows, words=_WORDS, label="Graders"),
            tag("h3", "Calls and cost") if costs else "",
            records(costs, words=("grader",), label="Calls and cost"),
            *(tag("p", text) for name, grader in graders.items() for text in money_sentences(name, grader)),
            *saved,
            _health(graders),
            *(confusion_figure(each, charts) for each in maps),
        ]
    )


def _row(name: str, grader: GraderResult) -> dict[str, Child]:
    reasons, more = unscored_reasons(grader)
    texts = [f"{reason}: {count(rows)}" for reason, rows in reasons] + ([f"{more} more reasons"] if more else [])
    return {
        "grader": name,
        "dimension": grader.dimension,
        "scores from": scores_from(grader),
        "scale": _scale(grader.scale),
        "scored": count(grader.scored),
        "unscored": count(grader.unscored),
        "why unscored": ", ".join(texts),
    }


def _costs(name: str, grader: GraderResult) -> dict[str, Child]:
    pace = grader.calls_per_second
    return {
        "grader": name,
        "calls made": count(grader.calls_made),
        "calls a second": number(pace) if pace else "–",
        "replies reused": count(grader.calls_reused),
        "tokens in": count(grader.input_tokens),
        "tokens out": count(grader.output_tokens),
        "cost of this run": cost_of(grader, grader.cost_usd),
        "original cost of reused replies": cost_of(grader, grader.bought_usd),
    }


def _scale(scale: ScoreScale) -> str:
    steps = f" by {scale.step:g}" if scale.step is not None else ""
    return f"{scale.min:g} to {scale.max:g}{steps}"


def _health(graders: Graders) -> Html:
    """Return the checks for drift, with the limits that the recipe sets."""
    rows: list[dict[str, Child]] = [
        {
            "grader": name,
            "check": title(check.check),
            "state": badge(check.state),
            "found": check.text,
            "warns": check.warn or "–",
            "fails": check.fail or "–",
        }
        for name, check in checks(graders)
    ]
    if not rows:
        return NOTHING
    meaning = (
        "A grader that gives nearly every row the same score, rewards length, or contradicts itself or another grader cannot rank "
        "rows well enough to select by. Limits are in the recipe under the grader's health; a check without one passes."
    )
    lines = (tag("li", named(check), f": {reading}") for check, reading in readings(graders))
    shown = records(rows, words=_HEALTH_WORDS, label="Grader health")
    return join([tag("h3", "Grader health"), note(meaning), shown, tag("ul", *lines, class_="note")])


def confusion_figure(found: Confusion, charts: Charts) -> Html:
    """Return a map of how often two graders gave each pair of scores, and its numbers."""
    caption = join(["Scores of ", named(found.name), " and of ", named(found.other), " for the same rows"])
    chart = place(
        charts.add(confusion_map(found.cells, found.scores, name=plain(found.name), other=plain(found.other)))
    )
    numbers = folded("numbers", _confusion_table(found), class_="numbers")
    reading = note("The stronger the colour, the more rows; in framed cells both scores are the same.")
    figure = tag(
        "figure", tag("figcaption", caption), tag("p", found.sentence), reading, chart, numbers, class_="confusion"
    )
    return tag("article", figure)


def _confusion_table(found: Confusion) -> Html:
    label = f"Rows by score of {found.name} and of {found.other}"
    if len(found.scores) > _MOST_SCORES:
        cells: Sequence[Sequence[Child]] = [
            [f"{score:g}", f"{other:g}", count(rows)] for (score, other), rows in sorted(found.cells.items())
        ]
        return table([found.name, found.other, "rows"], cells, words=(), label=label)
    heads = [f"{found.name} ↓ {found.other} →", *(f"{score:g}" for score in found.scores)]
    body = [
        [f"{score:g}", *(count(found.cells.get((score, other), 0)) for other in found.scores)]
        for score in reversed(found.scores)
    ]
    return table(heads, body, words=(), label=label)
