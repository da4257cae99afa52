"""The datasets: how each selects, what it keeps, and what became of the other rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpaqual.report.markup import NOTHING, Child, Html, count, join, missing, note, percent, records, tag
from alpaqual.values import Fate

FATES = {
    Fate.KEPT: "kept",
    Fate.BELOW_THRESHOLD: "below threshold",
    Fate.UNSCORED: "unscored",
    Fate.REMOVED_BY_RULE: "removed by rule",
    Fate.REMOVED_BY_QUOTA: "removed by quota",
    Fate.NOT_SAMPLED: "not sampled",
}
"""Fates as a reader reads them."""

_IN_COLUMNS = (Fate.BELOW_THRESHOLD, Fate.UNSCORED, Fate.REMOVED_BY_RULE, Fate.NOT_SAMPLED)
"""Fates with a column of their own, on the right."""


def datasets_section(results: Mapping[str, Any]) -> Html:
    """A table of all datasets."""
    datasets: Mapping[str, Any] = results["datasets"]
    if not datasets:
        return NOTHING
    rows = [_row(name, dataset) for name, dataset in datasets.items()]
    meaning = (
        f"Each of the {count(results['source']['rows'])} rows has one fate in each dataset: kept (rows), or one of the four "
        "columns on the right, or removed by quota. Rows added by quota are below the threshold and kept. "
        "The keep rate is of the rows that no rule removed."
    )
    return join([records(rows, words=("dataset", "selects"), label="Datasets"), note(meaning)])


def dataset_numbers(dataset: Mapping[str, Any]) -> dict[str, str]:
    """What a dataset keeps and why, by the head of the column: the page and the notebook show the same."""
    return {
        "rows": count(dataset["rows"]),
        "keep rate": percent(dataset["rows"], dataset["eligible"]),
        "by threshold alone": count(dataset["at_threshold"]) if dataset["threshold"] else "–",
        "added by quota": count(dataset["below_threshold"]),
        "removed by quota": count(dataset["fates"].get(Fate.REMOVED_BY_QUOTA, 0)),
        "shortfall": count(dataset["shortfall"]),
    }


def _row(name: str, dataset: Mapping[str, Any]) -> dict[str, Child]:
    numbers = dataset_numbers(dataset)
    share = tag("span", numbers["keep rate"], class_="share")
    marked: dict[str, Child] = {
        "rows": tag("strong", numbers["rows"]),
        "keep rate": join([_bar(dataset["rows"], dataset["eligible"]), share]),
        "shortfall": missing(dataset["shortfall"]),
    }
    others = {FATES[fate]: count(dataset["fates"].get(fate, 0)) for fate in _IN_COLUMNS}
    return {"dataset": name, "selects": selects(dataset), **numbers, **marked, **others}


def _bar(part: int, whole: int) -> Html:
    """A small bar for a share; its number stands beside it."""
    width = f"{100 * part / whole:.1f}" if whole else "0"
    return Html(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="10"/><rect class="fill" width="{width}" height="10"/></svg>'
    )


def selects(dataset: Mapping[str, Any]) -> str:
    """How a dataset selects, in a few words."""
    parts = [f"from {dataset['from']}"] if dataset["from"] else []
    parts += [f"{grader} ≥ {value:g}" for grader, value in dataset["threshold"].items()]
    if dataset["quotas"]:
        quotas = len({quota["category"] for quota in dataset["quotas"]})
        parts.append(f"{quotas} quota{'s' if quotas > 1 else ''}")
    if "sample" in dataset:
        parts.append(f"{count(dataset['sample'])} at random")
    return ", ".join(parts) or "all rows"
