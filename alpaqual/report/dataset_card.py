"""Writes the card of a dataset for the Hugging Face Hub: front matter that names its files, and the report of its selection."""

from __future__ import annotations

import json
from collections.abc import Iterator

from alpaqual.report.escape import plain_markdown
from alpaqual.report.html_datasets import FATES, selects
from alpaqual.report.markdown_parts import count, percent, table
from alpaqual.report.provenance import made_by
from alpaqual.results.datasets import DatasetResult, hub_path
from alpaqual.results.results import Results
from alpaqual.values import Fate

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LARGEST = "10M<n<100M"


def dataset_card(name: str, results: Results) -> str:
    """Return the card as Markdown with YAML front matter."""
    dataset = results.datasets[name]
    return "\n".join(["---", *_front_matter(name, dataset), "---", "", *_body(name, dataset, results)])


def _front_matter(name: str, dataset: DatasetResult) -> Iterator[str]:
    files = [{"split": split, "path": hub_path(split, file)} for split, file in dataset.files(name).items()]
    size = next((label for most, label in _SIZES if dataset.rows < most), _LARGEST)
    # A line of JSON is YAML.
    yield f"configs: {json.dumps([{'config_name': 'default', 'data_files': files}])}"
    yield f"size_categories: {json.dumps([size])}"
    yield 'tags: ["alpaqual", "instruction-tuning"]'


def _body(name: str, dataset: DatasetResult, results: Results) -> Iterator[str]:
    title = results.recipe.title or results.recipe.name
    yield f"# {plain_markdown(name)}"
    yield f"\nThe dataset `{name}` of {plain_markdown(title)}, selected by [alpaqual](https://github.com/alpaqual/alpaqual).\n"
    yield f"{count(dataset.rows)} of {count(results.source.rows)} rows: {plain_markdown(selects(dataset))}.\n"
    yield "## Selection\n"
    fates = [[FATES[fate], count(dataset.fates.of(fate))] for fate in Fate if dataset.fates.of(fate)]
    yield table(["rows that are", "rows"], fates)
    if dataset.quotas:
        quotas = [
            [plain_markdown(quota.category), f"{quota.limit} {quota.asked}", count(quota.rows), count(quota.shortfall)]
            for quota in dataset.quotas
        ]
        yield table(["quota of", "asked", "rows", "shortfall"], quotas, words=(0, 1))
    if dataset.splits:
        splits = [[split, count(found.rows), percent(found.share)] for split, found in dataset.splits.items()]
        yield table(["split", "rows", "share"], splits)
    if dataset.categories:
        yield "## Categories\n"
        kept = [
            [plain_markdown(category), count(found.rows), percent(found.share), percent(found.keep_rate)]
            for category, found in dataset.categories.items()
        ]
        yield table(["category", "rows", "share", "keep rate"], kept)
    yield "## Sources\n"
    sources = [
        [plain_markdown(source.name), plain_markdown(source.path), source.format, count(source.rows)]
        for source in results.sources
    ]
    yield table(["source", "path", "format", "rows"], sources, words=(0, 1, 2))
    yield "The licence is that of the sources: add `license:` above.\n"
    yield "## Provenance\n"
    yield table(
        ["", ""], [[plain_markdown(key), plain_markdown(value)] for key, value in made_by(results)], words=(0, 1)
    )
