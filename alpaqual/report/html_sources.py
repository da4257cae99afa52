"""Shows sources and provenance: rows that were read or could not be, and the fingerprints that make the run reproducible."""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.report.markup import NOTHING, Child, Html, count, folded, join, note, quoted, records, table, tag
from alpaqual.report.provenance import made_by
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
    """Return what made the run, and the fingerprint of each stage."""
    facts = results.provenance
    if facts is None:
        return NOTHING
    made: list[list[Child]] = [[name, tag("code", value)] for name, value in made_by(results)]
    made.append(["results", f"version {results.version}"])
    stages: list[list[Child]] = [[name, tag("code", digest)] for name, digest in facts.stages.items()]
    meaning = "The same sources, recipe and version give the same fingerprints, and the same rows."
    fingerprints = table(["stage", "fingerprint"], stages, words=(0, 1), label="Fingerprints")
    shown = table(["what", "value"], made, words=(0, 1), label="Provenance")
    return join([shown, folded("fingerprints of stages", note(meaning), fingerprints) if stages else ""])
