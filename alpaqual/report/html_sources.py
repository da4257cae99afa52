"""Sources and provenance: what was read, what could not be, and the fingerprints that make it the same again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alpaqual.report.markup import NOTHING, Child, Html, count, folded, join, note, quoted, records, table, tag


def sources_section(results: Mapping[str, Any]) -> Html:
    """A table of all sources, and rows that could not be read."""
    rows: list[dict[str, Child]] = [
        {
            "source": each["name"],
            "path": tag("code", each["path"]),
            "format": each["format"],
            "rows": count(each["rows"]),
            "in quarantine": count(each["quarantined"]),
        }
        for each in results["source"].get("sources", ())
    ]
    if not rows:
        return NOTHING
    shown = records(rows, words=("source", "path", "format"), label="Sources")
    return join([shown, _quarantine(results["source"].get("quarantine_examples", ()))])


def _quarantine(aside: Sequence[Mapping[str, Any]]) -> Html:
    if not aside:
        return NOTHING
    heads = list(aside[0])
    rows: list[dict[str, Child]] = [
        {head: quoted("" if row[head] is None else str(row[head])) for head in heads} for row in aside
    ]
    return folded("rows that could not be read", records(rows, words=heads, label="Quarantine"))


def provenance_section(results: Mapping[str, Any]) -> Html:
    """The fingerprints of what went in and of each stage."""
    facts = results.get("provenance")
    if not facts:
        return NOTHING
    body: list[list[Child]] = [
        ["alpaqual", tag("code", facts["alpaqual"])],
        ["results", f"version {results['version']}"],
    ]
    for source in facts["sources"]:
        body += [[f"source {source['name']} (sha256)", tag("code", digest)] for digest in source["sha256"]]
    body += [[f"stage {name}", tag("code", digest)] for name, digest in facts["stages"].items()]
    meaning = "The same sources, recipe and version give the same fingerprints, and the same rows."
    fingerprints = table(["what", "fingerprint"], body, words=(0, 1), label="Provenance")
    return folded("fingerprints of sources and stages", note(meaning), fingerprints)
