"""Writes a report as Markdown for a pull request: the verdict, failures, warnings, then the selection.

The same data, recipe and commit give the same bytes, so that a comment changes only with them. At most MOST_BYTES long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alpaqual.report.escape import code, markdown, plain_markdown
from alpaqual.report.markdown_graders import graders_table, health, histograms
from alpaqual.report.markdown_known_scores import known_scores
from alpaqual.report.markdown_parts import MOST_LISTED, count, folded, percent, share, table
from alpaqual.report.markdown_training import training_section
from alpaqual.report.provenance import commit_text
from alpaqual.report.report import FailingRow, Report, hardest_filtered
from alpaqual.results.datasets import CategoryResult, DatasetResult
from alpaqual.values import State

MOST_BYTES = 60_000
"""GitHub takes 65,536 bytes in a comment."""

_LONGEST_COMMAND = 2_000

_SIGN = {
    State.PASS: "✅ PASS",
    State.WARN: "⚠️ WARN",
    State.INCOMPLETE: "⏸️ INCOMPLETE",
    State.FAIL: "❌ FAIL",
    State.ERROR: "🛑 ERROR",
}


def to_markdown(report: Report) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    sections = [section for section in _sections(report) if section]
    marker = f"<!-- alpaqual:report {report.results.recipe.name} -->\n"
    footer = _footer(report)
    left = MOST_BYTES - len((marker + footer).encode()) - 200
    kept: list[str] = []
    for section in sections:
        size = len(section.encode()) + 1
        if size > left:
            kept.append("_The report is longer than a comment may be: the rest is in report.html and results.json._\n")
            break
        kept.append(section)
        left -= size
    return marker + "\n".join(kept) + "\n" + footer


def _sections(report: Report) -> Iterator[str]:
    yield _head(report)
    yield _reasons(report, State.ERROR, "Errors")
    yield _reasons(report, State.FAIL, "Failures")
    yield _reasons(report, State.WARN, "Warnings")
    yield _datasets(report)
    yield training_section(report.results.training)
    yield from _evaluation(report)
    yield _balance(report)
    graders = report.results.graders
    yield histograms(graders)
    yield graders_table(graders)
    yield health(graders)
    yield known_scores(graders)
    yield _examples(report)
    yield _passes(report)


def _evaluation(report: Report) -> Iterator[str]:
    if report.results.evaluation is not None:
        # Most runs have no evaluation, and its modules take time to import.
        from alpaqual.report.markdown_evaluation import evaluation_sections

        yield from evaluation_sections(report.results.evaluation)


def _head(report: Report) -> str:
    results = report.results
    title = plain_markdown(report.title)
    lines = [f"## {_SIGN[report.verdict]}: {title} ({plain_markdown(report.headline)})", ""]
    if report.verdict is not State.ERROR:
        kept = ", ".join(f"**{plain_markdown(name)}** {dataset.rows:,}" for name, dataset in results.datasets.items())
        if kept or results.evaluation is None:
            lines.append(f"Of {results.source.rows:,} rows: {kept or 'no dataset is selected yet'}.")
    return "\n".join(lines) + "\n"


def _reasons(report: Report, state: State, title: str) -> str:
    reasons = report.reasons(state)
    if not reasons:
        return ""
    lines = [f"### {title}", ""]
    for reason in reasons[:MOST_LISTED]:
        place = f" — {code(reason.place)}" if reason.place else ""
        lines.append(f"- {plain_markdown(reason.text)}{place}")
    if len(reasons) > MOST_LISTED:
        lines.append(f"- … and {len(reasons) - MOST_LISTED} more")
    return "\n".join(lines) + "\n"


def _datasets(report: Report) -> str:
    datasets = report.results.datasets
    if not datasets:
        return ""
    header = [
        "dataset",
        "rows",
        "keep rate",
        "threshold alone",
        "added by quota",
        "removed by quota",
        "not sampled",
        "below threshold",
        "unscored",
        "removed by rule",
    ]
    body = []
    for name, dataset in datasets.items():
        fates = dataset.fates
        counts = [
            fates.removed_by_quota,
            fates.not_sampled,
            fates.below_threshold,
            fates.unscored,
            fates.removed_by_rule,
        ]
        body.append(
            [
                plain_markdown(name),
                f"**{dataset.rows:,}**",
                percent(dataset.keep_rate),
                count(dataset.at_threshold) if dataset.threshold else "–",
                count(dataset.below_threshold),
                *map(count, counts),
            ]
        )
    return "### Datasets\n\n" + table(header, body) + _splits(datasets)


def _splits(datasets: Mapping[str, DatasetResult]) -> str:
    """Return a table of the splits of datasets; empty where none is split."""
    body = [
        [plain_markdown(name), plain_markdown(split), count(found.rows), percent(found.share)]
        for name, dataset in datasets.items()
        for split, found in (dataset.splits or {}).items()
    ]
    return "\n" + table(["dataset", "split", "rows", "share"], body, words=(0, 1)) if body else ""


_BALANCE = [
    "category",
    "rows",
    "kept by threshold",
    "kept after quotas",
    "keep rate by threshold minus overall, in points",
    "rows short of the quota",
]


def _balance(report: Report) -> str:
    """Return for each dataset the rows of every category: all, kept by the threshold, kept after quotas."""
    parts: list[str] = []
    for name, dataset in report.results.datasets.items():
        if not dataset.categories or not (dataset.threshold or dataset.quotas):
            continue
        body = [["_all rows_", *_kept(dataset), "", ""]]
        for category, counts in list(dataset.categories.items())[:MOST_LISTED]:
            short = f"**{counts.shortfall:,}**" if counts.shortfall else ""
            body.append([code(category, 60), *_kept(counts), _difference(counts, dataset), short])
        sentence = ""
        if (hardest := hardest_filtered(dataset)) is not None:
            rates = f"it keeps {percent(hardest.keep_rate)} of it, and {percent(hardest.overall)} of all rows"
            sentence = f"The threshold filters {code(hardest.category, 60)} hardest: {rates}.\n\n"
        more = len(dataset.categories) - MOST_LISTED
        note = f"\n… and {more} more categories.\n" if more > 0 else ""
        parts.append(f"### Category balance: {plain_markdown(name)}\n\n" + sentence + table(_BALANCE, body) + note)
    return "\n".join(parts)


def _kept(counts: DatasetResult | CategoryResult) -> list[str]:
    """Return the eligible rows, those at the threshold and those that are kept."""
    eligible = counts.eligible
    return [count(eligible), *(f"{rows:,} ({share(rows, eligible)})" for rows in (counts.at_threshold, counts.rows))]


def _difference(counts: CategoryResult, dataset: DatasetResult) -> str:
    """Return a category's keep rate by the threshold alone minus that of all rows, in percentage points."""
    if not counts.eligible:
        return ""
    overall = dataset.at_threshold / dataset.eligible if dataset.eligible else 0.0
    return f"{(counts.at_threshold / counts.eligible - overall) * 100:+.1f}"


def _examples(report: Report) -> str:
    parts: list[str] = []
    for rule, rows in report.examples.items():
        body = [[_row_name(row), markdown(row.column, 60), markdown(row.value or "", 120)] for row in rows]
        shown = table(["row", "column", "value"], body, words=(0, 1, 2))
        parts.append(folded(f"Failing rows: {plain_markdown(rule)}", shown))
    return "\n".join(parts)


def _row_name(row: FailingRow) -> str:
    """Return the data's own id of a row, or the start of its row id."""
    return code(row.id[:12]) if row.own_id is None else markdown(row.own_id, 60)


def _passes(report: Report) -> str:
    results = report.results
    lines = [
        f"- rule {plain_markdown(rule.id)}: {rule.failing_rows:,} failing rows"
        for rule in results.rules
        if rule.state is State.PASS
    ]
    lines += [
        f"- {plain_markdown(each.text)}: {each.value}" for each in results.expectations if each.state is State.PASS
    ]
    for name, dataset in results.datasets.items():
        for quota in dataset.quotas:
            if quota.state is State.PASS:
                met = f"dataset {name}: quota {quota.category} {quota.limit} {quota.asked}"
                lines.append(f"- {plain_markdown(met)}: {quota.rows:,} of {quota.wanted:,} rows")
    return folded(f"{len(lines)} passed", "\n".join(lines) + "\n") if lines else ""


def _footer(report: Report) -> str:
    results = report.results
    provenance = results.provenance
    if provenance is None:
        return f"<sub>{code(results.recipe.file)}</sub>\n"
    digests = [digest[:12] for source in provenance.sources for digest in source.sha256]
    data = ", ".join(code(digest) for digest in digests[:5]) + (
        f" and {len(digests) - 5} more" if len(digests) > 5 else ""
    )
    versions = {"alpaqual": provenance.alpaqual, "Python": provenance.python, "DuckDB": provenance.duckdb}
    parts = [f"{name} {plain_markdown(version)}" for name, version in versions.items() if version]
    parts += [f"recipe {code(results.recipe.sha256[:12])}"] if results.recipe.sha256 else []
    parts += [f"commit {code(commit_text(provenance.commit, 12))}"] if provenance.commit is not None else []
    parts += [f"data {data}"] if digests else []
    parts.append(f"reproduce: {code(provenance.command or f'alpaqual run {results.recipe.file}', _LONGEST_COMMAND)}")
    return f"<sub>{' · '.join(parts)}</sub>\n"
