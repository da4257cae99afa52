"""Shows sources and provenance: rows that were read or could not be, and the fingerprints that make the run reproducible."""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.report.markup import NOTHING, Child, Html, count, folded, join, note, quoted, records, table, tag
from alpaqual.results.results import QuarantineExample, Results


def sources_section(results: Results) -> Html:
    """Return a table of all sources, and rows that could not be read."""
    rows: list[dict[str, Child]] = [
        {
            "source": each.name,
            "path": tag("code", each.path),
            "format": each.format,
            "rows": count(each.rows),
            "in quarantine": count(each.quarantined),
        }
        for each in results.source.sources
    ]
    if not rows:
        return NOTHING
    shown = records(rows, words=("source", "path", "format"), label="Sources")
    return join([shown, _quarantine(results.source.quarantine_examples)])


def _quarantine(examples: Sequence[QuarantineExample]) -> Html:
    if not examples:
        return NOTHING
    rows: list[dict[str, Child]] = [
        {
            "source": quoted(row.source),
            "position": "–" if row.position is None else str(row.position),
            "reason": quoted(row.reason or ""),
        }
        for row in examples
    ]
    return folded("rows that could not be read", records(rows, words=list(rows[0]), label="Quarantine"))


def provenance_section(results: Results) -> Html:
    """Return the digests of the sources and the fingerprint of each stage."""
    facts = results.provenance
    if facts is None:
        return NOTHING
    body: list[list[Child]] = [
        ["alpaqual", tag("code", facts.alpaqual)],
        ["results", f"version {results.version}"],
    ]
    for source in facts.sources:
        body += [[f"source {source.name} (sha256)", tag("code", digest)] for digest in source.sha256]
    body += [[f"stage {name}", tag("code", digest)] for name, digest in facts.stages.items()]
    meaning = "The same sources, recipe and version give the same fingerprints, and the same rows."
    fingerprints = table(["what", "fingerprint"], body, words=(0, 1), label="Provenance")
    return folded("fingerprints of sources and stages", note(meaning), fingerprints)
