"""Shows models beside each other: the matrix of pairs, ratings, the size of datasets, and capability by a reference."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from alpaqual.report.charts_evaluation import size_chart
from alpaqual.report.evaluation import (
    FEWEST_RATED,
    TOGETHER,
    interval,
    name,
    reached,
    score,
    several_judges,
    summaries,
    whole,
)
from alpaqual.report.html_charts import Charts, place
from alpaqual.report.html_evaluation_groups import layout
from alpaqual.report.markup import NOTHING, Child, Html, count, folded, join, named, note, plain, records, table, tag
from alpaqual.report.radar import CLASSES, Axis, Outline, Ring, radar
from alpaqual.report.svg import axis, interval_drawing, scale_of
from alpaqual.results.evaluation import Capability, EvaluationResult, PairResult, Rating, SizePoint

_MOST_MODELS = 30


def models_part(evaluation: EvaluationResult) -> Html:
    """Return for three models or more the matrix of each judge, and the ratings."""
    found = summaries(evaluation)
    models = list(dict.fromkeys(model for each in found for model in (each.a, each.b)))
    if len(models) < FEWEST_RATED:
        return NOTHING
    ordered = sorted(models, key=lambda model: _by_rating(evaluation.ratings, model))[:_MOST_MODELS]
    parts: list[Child] = [tag("h3", "All models")]
    for judge in dict.fromkeys(each.judge for each in found):
        title = tag("h4", "Judged by ", named(name(judge))) if several_judges(evaluation) else NOTHING
        parts += [title, _matrix(ordered, [each for each in found if each.judge == judge])]
    meaning = "Winning scores of the model of the row against that of the column; coloured where the interval is above or below 1."
    return join([*parts, note(meaning), _ratings(evaluation)])


def _by_rating(ratings: Mapping[str, Rating], model: str) -> float:
    return -ratings[model].rating if model in ratings else 0.0


def _matrix(models: Sequence[str], pairs: Sequence[PairResult]) -> Html:
    cells: dict[tuple[str, str], Child] = {}
    for each in pairs:
        if each.winning_score is not None:
            cells[each.a, each.b] = _cell(each.winning_score, each.interval, each.shown)
            turned = None if each.interval is None else [2 - each.interval[1], 2 - each.interval[0]]
            opposite = {"helps": "hurts", "hurts": "helps"}.get(each.shown, each.shown)
            cells.setdefault((each.b, each.a), _cell(2 - each.winning_score, turned, opposite))
    body = [
        [name(row), *("" if row == column else cells.get((row, column), "–") for column in models)] for row in models
    ]
    return table(["model", *(name(each) for each in models)], body, label="Matrix of pairs")


def _cell(value: float, bounds: Sequence[float] | None, shown: str) -> Html:
    marked = f"shown {shown}" if shown in ("helps", "hurts") else None
    said = "" if bounds is None else f"95% interval {interval(bounds)}"
    return tag("span", score(value), class_=marked, title=said or None)


def _ratings(evaluation: EvaluationResult) -> Html:
    ordered = sorted(evaluation.ratings.items(), key=lambda each: (-each[1].rating, each[0]))
    scale = scale_of([each.interval or [each.rating, each.rating] for _, each in ordered])
    if scale is None:
        return NOTHING
    body = [
        [
            name(model),
            count(each.n),
            tag("strong", f"{each.rating:,.0f}"),
            whole(each.interval),
            interval_drawing(
                scale, each.rating, each.interval, label=f"{name(model)}: {each.rating:,.0f}", strong=True
            ),
        ]
        for model, each in ordered
    ]
    heads: list[str] = ["model", "items", "rating", "95% interval", axis(scale)]
    meaning = (
        "Bradley-Terry ratings on Elo's scale: 400 points more win ten times as often. The mean of all models is 1,000."
    )
    return join([tag("h4", "Ratings"), table(heads, body, words=(0, 4), label="Ratings"), note(meaning)])


def sizes_part(evaluation: EvaluationResult, charts: Charts) -> Html:
    """Return a chart of the winning score by the size of nested datasets, for each judge and opponent."""
    if not evaluation.sizes:
        return NOTHING
    groups: dict[tuple[str, str], list[SizePoint]] = {}
    for each in evaluation.sizes:
        groups.setdefault((each.judge, each.against), []).append(each)
    parts: list[Child] = [tag("h3", "Size of the dataset"), *(tag("p", each) for each in reached(evaluation))]
    judged_by = len({judge for judge, _ in groups}) > 1
    for (judge, against), points in groups.items():
        spec = size_chart(points, {point: plain(_test_set(point)) for point in {each.test_set for each in points}})
        by: Child = join([", judged by ", named(name(judge))]) if judged_by else ""
        caption = tag("figcaption", "Winning score against ", named(name(against)), " by rows of the dataset", by)
        numbers = folded("numbers", _sizes(points), class_="numbers")
        parts.append(tag("article", tag("figure", caption, place(charts.add(spec)), numbers)))
    return join(parts)


def _test_set(test_set: str | None) -> str:
    return TOGETHER if test_set is None else name(test_set)


def _sizes(points: Sequence[SizePoint]) -> Html:
    rows: list[dict[str, Child]] = [
        {
            "model": name(each.model),
            "test set": _test_set(each.test_set),
            "rows": count(each.rows),
            "winning score": score(each.winning_score),
            "95% interval": interval(each.interval),
            "": "reaches the whole set" if each.reaches else "",
        }
        for each in points
    ]
    return records(rows, words=("model", "test set", ""), label="Winning score by rows")


def capability_part(evaluation: EvaluationResult) -> Html:
    """Return for each reference the scores of the models as a percentage of its own, overall and by group."""
    references = dict.fromkeys(each for found in evaluation.capability.values() for each in found)
    if not references:
        return NOTHING
    parts: list[Child] = [tag("h3", "Capability")]
    parts.append(
        note(
            "The sum of a model's scores as a percentage of the reference's, over the same items; the line is at 100%."
        )
    )
    for reference in references:
        models = {model: found[reference] for model, found in evaluation.capability.items() if reference in found}
        parts += [tag("h4", "By ", named(name(reference))), _capability(models), _capability_groups(models, reference)]
    return join(parts)


def _percentage(value: float) -> str:
    return f"{value:.1f}%"


def _bounds(bounds: Sequence[float] | None) -> str:
    return "–" if bounds is None else f"{bounds[0]:.1f}% to {bounds[1]:.1f}%"


def _capability(models: Mapping[str, Capability]) -> Html:
    scale = scale_of([each.interval or [each.percentage, each.percentage] for each in models.values()], mark=100.0)
    assert scale is not None
    body = [
        [
            name(model),
            count(each.n),
            tag("strong", _percentage(each.percentage)),
            _bounds(each.interval),
            interval_drawing(
                scale,
                each.percentage,
                each.interval,
                label=f"{name(model)}: {_percentage(each.percentage)}",
                strong=True,
            ),
        ]
        for model, each in models.items()
    ]
    heads: list[str] = ["model", "items", "percentage", "95% interval", axis(scale, suffix="%")]
    return table(heads, body, words=(0, 4), label="Capability")


def _capability_groups(models: Mapping[str, Capability], reference: str) -> Html:
    """Return a radar chart with a line for each model, and a table of all."""
    groups = list(dict.fromkeys(group for each in models.values() for group in each.groups))
    if not groups:
        return NOTHING
    shown = dict(list(models.items())[: len(CLASSES)])
    axes = [_axis(group, models.values()) for group in groups]
    outlines = [_outline(model, each, groups) for model, each in shown.items()]
    drawn = radar(axes, outlines, _ring(shown.values()), label=f"Capability by {reference}")
    signs = [tag("li", _sign(class_), " ", named(name(model))) for model, class_ in zip(shown, CLASSES, strict=False)]
    legend = tag("ul", *signs, class_="legend") if drawn else NOTHING
    body = [
        [
            tag("em", each.name) if each.few else each.name,
            count(each.items),
            *(_cell_of(found, each.name) for found in models.values()),
        ]
        for each in axes
    ]
    numbers = table(
        ["group", "items", *(name(model) for model in models)], body, label=f"Capability by {reference} and group"
    )
    if not drawn:
        return numbers
    box = tag(
        "div", drawn, class_="scroll", tabindex=0, role="region", aria_label=f"Radar chart of capability by {reference}"
    )
    return tag("figure", legend, tag("div", box, numbers, class_=layout(len(groups))), class_="groups")


def _axis(group: str, models: Collection[Capability]) -> Axis:
    found = [each.groups[group] for each in models if group in each.groups]
    return Axis(group, max(each.n for each in found), any(each.few for each in found))


def _outline(model: str, capability: Capability, groups: Sequence[str]) -> Outline:
    found = [capability.groups.get(group) for group in groups]
    labels = [
        f"{name(model)}, {group}: {_percentage(each.percentage) if each is not None else 'no items'}"
        for group, each in zip(groups, found, strict=True)
    ]
    return Outline([None if each is None else each.percentage for each in found], labels)


def _ring(models: Collection[Capability]) -> Ring:
    """Return a scale from 0 to a little over the largest percentage, at most 200%."""
    most = max(each.percentage for found in models for each in found.groups.values())
    high = min(200.0, max(110.0, most * 1.05))
    return Ring(
        low=0,
        high=high,
        mark=100,
        ticks=tuple(each for each in (25, 50, 75, 100, 125, 150, 200) if each <= high),
        suffix="%",
    )


def _cell_of(capability: Capability, group: str) -> Child:
    found = capability.groups.get(group)
    return "–" if found is None else _percentage(found.percentage)


def _sign(class_: str) -> Html:
    return Html(
        f'<svg class="sign" viewBox="0 0 12 12" aria-hidden="true"><line class="{class_}" x2="12" y1="6" y2="6"/></svg>'
    )
