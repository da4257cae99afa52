"""Lists the datasets: how each selects, what it keeps, and the fates of the other rows."""

from __future__ import annotations

from collections.abc import Mapping

from alpaqual.report.markup import NOTHING, Child, Html, count, join, note, percent, records, shortfall_cell, tag
from alpaqual.results.datasets import DatasetResult
from alpaqual.results.results import Results
from alpaqual.values import Fate

FATES = {
    Fate.KEPT: "kept",
    Fate.BELOW_THRESHOLD: "below threshold",
    Fate.UNSCORED: "unscored",
    Fate.REMOVED_BY_RULE: "removed by rule",
    Fate.REMOVED_BY_QUOTA: "removed by quota",
    Fate.NOT_SAMPLED: "not sampled",
}
"""Fates in words."""

_IN_COLUMNS = (Fate.BELOW_THRESHOLD, Fate.UNSCORED, Fate.REMOVED_BY_RULE, Fate.NOT_SAMPLED)
"""Fates with a column of their own, on the right of the table."""


def datasets_section(results: Results) -> Html:
    """Return a table of all datasets."""
    datasets = results.datasets
    if not datasets:
        return NOTHING
    rows = [_row(name, dataset) for name, dataset in datasets.items()]
    meaning = (
        f"Each of the {count(results.source.rows)} rows has one fate in each dataset: kept (rows), or one of the four "
        "columns on the right, or removed by quota. Rows added by quota are below the threshold and kept. "
        "The keep rate is of the rows that no rule removed. A shortfall counts the rows short of a quota or a sample."
    )
    return join([records(rows, words=("dataset", "selects"), label="Datasets"), note(meaning), _splits(datasets)])


def _splits(datasets: Mapping[str, DatasetResult]) -> Html:
    """Return a table of the splits of datasets; nothing where none is split."""
    rows: list[dict[str, Child]] = [
        {"dataset": name, "split": split, "rows": count(found.rows), "share": percent(found.rows, dataset.rows)}
        for name, dataset in datasets.items()
        for split, found in (dataset.splits or {}).items()
    ]
    return records(rows, words=("dataset", "split"), label="Splits")


def dataset_numbers(dataset: DatasetResult) -> dict[str, str]:
    """Return what a dataset keeps and why, by the heading of the column; the page and the notebook share it."""
    return {
        "rows": count(dataset.rows),
        "keep rate": percent(dataset.rows, dataset.eligible),
        "by threshold alone": count(dataset.at_threshold) if dataset.threshold else "–",
        "added by quota": count(dataset.below_threshold),
        "removed by quota": count(dataset.fates.removed_by_quota),
        "shortfall": count(dataset.shortfall),
    }


def _row(name: str, dataset: DatasetResult) -> dict[str, Child]:
    numbers = dataset_numbers(dataset)
    share = tag("span", numbers["keep rate"], class_="share")
    marked: dict[str, Child] = {
        "rows": tag("strong", numbers["rows"]),
        "keep rate": join([_bar(dataset.rows, dataset.eligible), share]),
        "shortfall": shortfall_cell(dataset.shortfall),
    }
    others = {FATES[fate]: count(dataset.fates.of(fate)) for fate in _IN_COLUMNS}
    return {"dataset": name, "selects": selects(dataset), **numbers, **marked, **others}


def _bar(part: int, whole: int) -> Html:
    """Return a small bar for a share; its number is beside it."""
    width = f"{100 * part / whole:.1f}" if whole else "0"
    return Html(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="10"/><rect class="fill" width="{width}" height="10"/></svg>'
    )


def selects(dataset: DatasetResult) -> str:
    """Return how a dataset selects, in a few words."""
    parts = [f"from {dataset.from_}"] if dataset.from_ else []
    parts += [f"{grader} ≥ {value:g}" for grader, value in dataset.threshold.items()]
    if dataset.quotas:
        quotas = len({quota.category for quota in dataset.quotas})
        parts.append(f"{quotas} quota{'s' if quotas > 1 else ''}")
    if dataset.sample is not None:
        parts.append(f"{count(dataset.sample)} at random")
    return ", ".join(parts) or "all rows"
