"""Category balance: which categories a dataset's threshold filters harder than others, and what quotas bring back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    gap,
    join,
    missing,
    named,
    note,
    number,
    percent,
    plain,
    records,
    table,
    tag,
)
from alpaqual.report.report import hardest_filtered
from alpaqual.values import Fate

_CIRCLE = '<svg class="sign" viewBox="0 0 12 12" aria-hidden="true"><circle class="{}" cx="6" cy="6" r="4"/></svg>'
_LINE = '<svg class="sign" viewBox="0 0 12 12" aria-hidden="true"><line class="{}" x1="6" x2="6" y1="0" y2="12"/></svg>'


def balance_section(results: Mapping[str, Any], charts: Charts) -> Html:
    """The categories, and how evenly each dataset keeps them."""
    parts = [
        _balance(name, dataset, charts)
        for name, dataset in results["datasets"].items()
        if dataset["categories"] and (dataset["threshold"] or dataset["quotas"])
    ]
    meaning = "A gap is how far a category's keep rate lies above or below that of all rows, in percentage points."
    return join([category_table(results), note(meaning) if parts else "", *parts])


def _balance(name: str, dataset: Mapping[str, Any], charts: Charts) -> Html:
    caption = join([named(name), ": ", selects(dataset)])
    ordered = balanced(dataset)
    spec = balance(dataset, {category: plain(category) for category in dataset["categories"]})
    if spec is None:
        figure = join([tag("h3", caption), _hardest(dataset)])
    else:
        some = f" (the {MOST_CATEGORIES} with the lowest keep rates)" if len(ordered) > MOST_CATEGORIES else ""
        chart = place(charts.add(spec))
        figure = tag("figure", tag("figcaption", caption, some), _hardest(dataset), _legend(dataset), chart)
    return tag("article", figure, _balance_table(name, dataset, ordered), _quota_table(name, dataset["quotas"]))


def _hardest(dataset: Mapping[str, Any]) -> Html:
    """The finding that the chart shows, as a sentence."""
    found = hardest_filtered(dataset)
    if found is None:
        return NOTHING
    category = dataset["categories"][found[0]]
    rate, overall = (percent(counts["at_threshold"], counts["eligible"]) for counts in (category, dataset))
    said = f" hardest: it keeps {rate} of it, and {overall} of all rows."
    return tag("p", "The threshold filters ", named(found[0]), said)


def _legend(dataset: Mapping[str, Any]) -> Html:
    """What the signs of a balance chart mean, with the two rates that its lines show."""
    alone, after = (percent(dataset[key], dataset["eligible"]) for key in ("at_threshold", "rows"))
    if dataset["quotas"]:
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


def _balance_table(name: str, dataset: Mapping[str, Any], ordered: Sequence[tuple[str, Mapping[str, Any]]]) -> Html:
    """The numbers of the chart; categories without rows to keep come last."""
    with_quotas = bool(dataset["quotas"])
    empty = [(category, counts) for category, counts in dataset["categories"].items() if not counts.get("eligible")]
    every = [*ordered, *empty]
    heads = ["category", "rows", "by threshold alone", "keep rate", "gap"]
    heads += ["after quotas", "keep rate", "gap", "added", "removed", "shortfall"] if with_quotas else []
    body = [[category, *_cells(counts, dataset, with_quotas)] for category, counts in every[:MOST_LISTED]]
    whole: list[Child] = ["all rows", *_cells(dataset, dataset, with_quotas)]
    numbers = table(heads, [whole, *body], label=f"Category balance of {name}", foot=True)
    return join([numbers, smaller(len(every) - len(body))])


def _cells(counts: Mapping[str, Any], whole: Mapping[str, Any], with_quotas: bool) -> list[Child]:
    eligible = counts.get("eligible", 0)
    cells: list[Child] = [count(eligible)]
    for key in ("at_threshold", "rows") if with_quotas else ("at_threshold",):
        apart = "" if counts is whole else gap(counts[key], eligible, whole[key], whole["eligible"])
        cells += [count(counts[key]), percent(counts[key], eligible), apart]
    if with_quotas:
        cells += [count(counts["below_threshold"]), count(counts["fates"].get(Fate.REMOVED_BY_QUOTA, 0))]
        cells.append(missing(counts["shortfall"]))
    return cells


def _quota_table(name: str, quotas: Sequence[Mapping[str, Any]]) -> Html:
    """What each quota asks for, and whether the dataset has it."""
    rows: list[dict[str, Child]] = [
        {
            "quota": quota["category"],
            "state": badge(quota["state"]),
            "limit": quota["limit"].replace("_", " "),
            "asked": number(quota["asked"]),
            "rows asked for": count(quota["wanted"]),
            "rows kept": count(quota["rows"]),
            "shortfall": count(quota["shortfall"]),
        }
        for quota in quotas
    ]
    return records(rows, words=("quota", "state", "limit"), label=f"Quotas of {name}")
