"""Shows the category balance: which categories a threshold filters harder than others, and what quotas add."""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.report.charts import MOST_CATEGORIES, balance, balanced
from alpaqual.report.html_categories import MOST_LISTED, category_table, smaller
from alpaqual.report.html_charts import Charts, place
from alpaqual.report.html_datasets import selects
from alpaqual.report.markup import (
    NOTHING,
    Child,
    Html,
    badge,
    count,
    difference,
    join,
    named,
    note,
    number,
    percent,
    plain,
    records,
    shortfall_cell,
    table,
    tag,
)
from alpaqual.report.report import hardest_filtered
from alpaqual.results.datasets import CategoryResult, DatasetResult, QuotaResult
from alpaqual.results.results import Results

DIFFERENCE = "keep rate minus overall, in points"

SHORT_OF_QUOTA = "rows short of the quota"

_CIRCLE = '<svg class="sign" viewBox="0 0 12 12" aria-hidden="true"><circle class="{}" cx="6" cy="6" r="4"/></svg>'
_LINE = '<svg class="sign" viewBox="0 0 12 12" aria-hidden="true"><line class="{}" x1="6" x2="6" y1="0" y2="12"/></svg>'


def balance_section(results: Results, charts: Charts) -> Html:
    """Return the categories and how evenly each dataset keeps them."""
    parts = [
        _balance(name, dataset, charts)
        for name, dataset in results.datasets.items()
        if dataset.categories and (dataset.threshold or dataset.quotas)
    ]
    meaning = (
        "Keep rate minus overall: how far the keep rate of a category is above (+) or below (−) that of all rows, in percentage "
        "points. Rows short of the quota: rows that a quota asks for and the dataset lacks, or has above a maximum."
    )
    return join([category_table(results), note(meaning) if parts else "", *parts])


def _balance(name: str, dataset: DatasetResult, charts: Charts) -> Html:
    caption = join([named(name), ": ", selects(dataset)])
    ordered = balanced(dataset)
    spec = balance(dataset, {category: plain(category) for category in dataset.categories})
    if spec is None:
        figure = join([tag("h3", caption), _hardest(dataset)])
    else:
        some = f" (the {MOST_CATEGORIES} with the lowest keep rates)" if len(ordered) > MOST_CATEGORIES else ""
        chart = place(charts.add(spec))
        figure = tag("figure", tag("figcaption", caption, some), _hardest(dataset), _legend(dataset), chart)
    return tag("article", figure, _balance_table(name, dataset, ordered), _quota_table(name, dataset.quotas))


def _hardest(dataset: DatasetResult) -> Html:
    """Return the finding of the chart as a sentence."""
    found = hardest_filtered(dataset)
    if found is None:
        return NOTHING
    category = dataset.categories[found.category]
    rate, overall = (percent(counts.at_threshold, counts.eligible) for counts in (category, dataset))
    finding = f" hardest: it keeps {rate} of it, and {overall} of all rows."
    return tag("p", "The threshold filters ", named(found.category), finding)


def _legend(dataset: DatasetResult) -> Html:
    """Return the legend of a balance chart, with the two rates that its lines show."""
    alone, after = (percent(dataset[key], dataset.eligible) for key in ("at_threshold", "rows"))
    if dataset.quotas:
        signs = [
            (_CIRCLE.format("open"), "by threshold alone"),
            (_CIRCLE.format("full"), "after quotas"),
            (_LINE.format("dashed"), f"all rows, by threshold alone: {alone}"),
            (_LINE.format("solid"), f"all rows, after quotas: {after}"),
        ]
    else:
        signs = [(_CIRCLE.format("full"), "by threshold"), (_LINE.format("dashed"), f"all rows: {alone}")]
    items = (tag("li", Html(sign), " ", meaning) for sign, meaning in signs)
    return tag("ul", *items, class_="legend needs-script", hidden=True)


def _balance_table(name: str, dataset: DatasetResult, ordered: Sequence[tuple[str, CategoryResult]]) -> Html:
    """Return the numbers of the chart as a table; categories without eligible rows come last."""
    with_quotas = bool(dataset.quotas)
    empty = [(category, counts) for category, counts in dataset.categories.items() if not counts.eligible]
    every = [*ordered, *empty]
    heads = ["category", "rows", "by threshold alone", "keep rate", DIFFERENCE]
    heads += ["after quotas", "keep rate", DIFFERENCE, "added", "removed", SHORT_OF_QUOTA] if with_quotas else []
    body = [[category, *_cells(counts, dataset, with_quotas)] for category, counts in every[:MOST_LISTED]]
    whole: list[Child] = ["all rows", *_cells(dataset, dataset, with_quotas)]
    numbers = table(heads, [whole, *body], label=f"Category balance of {name}", foot=True)
    return join([numbers, smaller(len(every) - len(body))])


def _cells(counts: CategoryResult | DatasetResult, whole: DatasetResult, with_quotas: bool) -> list[Child]:
    eligible = counts.eligible
    cells: list[Child] = [count(eligible)]
    for key in ("at_threshold", "rows") if with_quotas else ("at_threshold",):
        apart = "" if counts is whole else difference(counts[key], eligible, whole[key], whole.eligible)
        cells += [count(counts[key]), percent(counts[key], eligible), apart]
    if with_quotas:
        cells += [count(counts.below_threshold), count(counts.fates.removed_by_quota)]
        cells.append(shortfall_cell(counts.shortfall))
    return cells


def _quota_table(name: str, quotas: Sequence[QuotaResult]) -> Html:
    """Return a table of what each quota asks for and what the dataset has."""
    rows: list[dict[str, Child]] = [
        {
            "quota": quota.category,
            "state": badge(quota.state),
            "limit": quota.limit.replace("_", " "),
            "asked": number(quota.asked),
            "rows asked for": count(quota.wanted),
            "rows kept": count(quota.rows),
            SHORT_OF_QUOTA: count(quota.shortfall),
        }
        for quota in quotas
    ]
    return records(rows, words=("quota", "state", "limit"), label=f"Quotas of {name}")
