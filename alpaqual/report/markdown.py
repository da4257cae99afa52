"""Report -> Markdown for a pull request: the verdict first, then what fails, what warns, what was selected.

The same data gives the same bytes, so that a comment changes only when the data does. At most MOST_BYTES.
"""

from __future__ import annotations

from collections.abc import Iterator

from alpaqual.report.escape import code, markdown, plain_markdown
from alpaqual.report.markdown_graders import graders_table, health, histograms
from alpaqual.report.markdown_parts import MOST_LISTED, count, folded, percent, share, table
from alpaqual.report.markdown_training import training_section
from alpaqual.report.report import Report, hardest_filtered
from alpaqual.values import State

MOST_BYTES = 60_000
"""GitHub takes 65,536 bytes in a comment."""

_SIGN = {State.PASS: "✅ PASS", State.WARN: "⚠️ WARN", State.FAIL: "❌ FAIL", State.ERROR: "🛑 ERROR"}


def to_markdown(report: Report) -> str:
    """The report as GitHub-flavoured Markdown."""
    sections = [section for section in _sections(report) if section]
    marker = f"<!-- alpaqual:report {report.results['recipe']['name']} -->\n"
    footer = _footer(report)
    room = MOST_BYTES - len((marker + footer).encode()) - 200
    kept: list[str] = []
    for section in sections:
        size = len(section.encode()) + 1
        if size > room:
            kept.append(
                "_The report is longer than a comment may be: what follows here is in report.html and results.json._\n"
            )
            break
        kept.append(section)
        room -= size
    return marker + "\n".join(kept) + "\n" + footer


def _sections(report: Report) -> Iterator[str]:
    yield _head(report)
    yield _reasons(report, State.ERROR, "Errors")
    yield _reasons(report, State.FAIL, "What fails")
    yield _reasons(report, State.WARN, "What warns")
    yield _datasets(report)
    yield training_section(report.results.get("training") or {})
    yield _balance(report)
    graders = report.results.get("graders", {})
    yield histograms(graders)
    yield graders_table(graders)
    yield health(graders)
    yield _examples(report)
    yield _passes(report)


def _head(report: Report) -> str:
    results = report.results
    title = plain_markdown(results["recipe"]["title"] or results["recipe"]["name"])
    rows = results["source"]["rows"]
    lines = [f"## {_SIGN[report.verdict]}: {title} ({plain_markdown(report.headline)})", ""]
    if report.verdict is not State.ERROR:
        kept = ", ".join(
            f"**{plain_markdown(name)}** {dataset['rows']:,}" for name, dataset in results["datasets"].items()
        )
        lines.append(f"Of {rows:,} rows: {kept}.")
    return "\n".join(lines) + "\n"


def _reasons(report: Report, state: State, title: str) -> str:
    reasons = report.reasons(state)
    if not reasons:
        return ""
    lines = [f"### {title}", ""]
    for reason in reasons[:MOST_LISTED]:
        place = f" — {code(reason['place'])}" if reason["place"] else ""
        lines.append(f"- {plain_markdown(reason['text'])}{place}")
    if len(reasons) > MOST_LISTED:
        lines.append(f"- … and {len(reasons) - MOST_LISTED} more")
    return "\n".join(lines) + "\n"


def _datasets(report: Report) -> str:
    datasets = report.results["datasets"]
    if not datasets:
        return ""
    header = [
        "dataset",
        "rows",
        "of eligible",
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
        fates = dataset["fates"]
        counts = [
            fates["removed_by_quota"],
            fates["not_sampled"],
            fates["below_threshold"],
            fates["unscored"],
            fates["removed_by_rule"],
        ]
        body.append(
            [
                plain_markdown(name),
                f"**{dataset['rows']:,}**",
                percent(dataset["keep_rate"]),
                count(dataset["at_threshold"]) if dataset["threshold"] else "–",
                count(dataset["below_threshold"]),
                *map(count, counts),
            ]
        )
    return "### Datasets\n\n" + table(header, body)


def _balance(report: Report) -> str:
    """Every category's share of what is kept: in the data, after the threshold, after the quotas."""
    parts: list[str] = []
    for name, dataset in report.results["datasets"].items():
        if not dataset["categories"] or not (dataset["threshold"] or dataset["quotas"]):
            continue
        eligible, alone, kept = dataset["eligible"], dataset["at_threshold"], dataset["rows"]
        body = [
            [
                "_all rows_",
                count(eligible),
                f"{alone:,} ({share(alone, eligible)})",
                f"{kept:,} ({share(kept, eligible)})",
                "",
                "",
            ]
        ]
        for category, counts in list(dataset["categories"].items())[:MOST_LISTED]:
            before, after, final = counts["eligible"], counts["at_threshold"], counts["rows"]
            gap = (after / before - alone / eligible) if before and eligible else 0.0
            short = f"**{counts['shortfall']:,}**" if counts["shortfall"] else ""
            cells = [
                count(before),
                f"{after:,} ({share(after, before)})",
                f"{final:,} ({share(final, before)})",
                f"{gap * 100:+.1f} pt" if before else "",
                short,
            ]
            body.append([code(category, 60), *cells])
        header = [
            "category",
            "rows",
            "kept by threshold",
            "kept after quotas",
            "threshold against all rows",
            "shortfall",
        ]
        said = ""
        if (hardest := hardest_filtered(dataset)) is not None:
            worst, rate, overall = hardest
            said = f"The threshold filters {code(worst, 60)} hardest: it keeps {percent(rate)} of it, and {percent(overall)} of all rows.\n\n"
        more = len(dataset["categories"]) - MOST_LISTED
        note = f"\n… and {more} more categories.\n" if more > 0 else ""
        parts.append(f"### Category balance: {plain_markdown(name)}\n\n" + said + table(header, body) + note)
    return "\n".join(parts)


def _examples(report: Report) -> str:
    parts: list[str] = []
    for rule, rows in report.examples.items():
        body = [[code(row["id"][:12]), markdown(row["column"], 60), markdown(row["value"] or "", 120)] for row in rows]
        parts.append(folded(f"Examples: {plain_markdown(rule)}", table(["row", "column", "value"], body)))
    return "\n".join(parts)


def _passes(report: Report) -> str:
    results = report.results
    lines = [
        f"- rule {plain_markdown(rule['id'])}: {rule['failing_rows']:,} failing rows"
        for rule in results.get("rules", ())
        if rule["state"] == State.PASS
    ]
    lines += [
        f"- {plain_markdown(each['text'])}: {each['value']}"
        for each in results.get("expectations", ())
        if each["state"] == State.PASS
    ]
    for name, dataset in results["datasets"].items():
        for quota in dataset["quotas"]:
            if quota["state"] == State.PASS:
                met = f"dataset {name}: quota {quota['category']} {quota['limit']} {quota['asked']}"
                lines.append(f"- {plain_markdown(met)}: {quota['rows']:,} of {quota['wanted']:,} rows")
    return folded(f"{len(lines)} passed", "\n".join(lines) + "\n") if lines else ""


def _footer(report: Report) -> str:
    results = report.results
    provenance = results.get("provenance")
    if provenance is None:
        return f"<sub>{code(results['recipe']['file'])}</sub>\n"
    digests = [digest[:12] for source in provenance["sources"] for digest in source["sha256"]]
    data = ", ".join(code(digest) for digest in digests[:5]) + (
        f" and {len(digests) - 5} more" if len(digests) > 5 else ""
    )
    command = code(f"alpaqual run {results['recipe']['file']}")
    return f"<sub>alpaqual {provenance['alpaqual']} · data {data} · reproduce: {command}</sub>\n"
