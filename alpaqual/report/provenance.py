"""Names what made a run, for every format: recipe, overrides, commit, versions, digests, and the command that gives it again."""

from __future__ import annotations

from alpaqual.results.results import Commit, Results


def made_by(results: Results) -> list[tuple[str, str]]:
    """Return what made the run, as names and values; nothing for results of a version that did not write it."""
    facts = results.provenance
    if facts is None:
        return []
    found = [("recipe (sha256)", results.recipe.sha256)]
    found += [("override", each) for each in results.recipe.overrides]
    if facts.commit is not None:
        found.append(("commit", commit_text(facts.commit)))
    for source in facts.sources:
        found += [(f"source {source.name} (sha256)", digest) for digest in source.sha256]
    found += [(f"{name} (sha256)", digest) for name, digest in facts.files.items()]
    found += [("alpaqual", facts.alpaqual), ("Python", facts.python), ("DuckDB", facts.duckdb)]
    return [(name, value) for name, value in [*found, ("command", facts.command)] if value]


def commit_text(commit: Commit, length: int = 40) -> str:
    """Return a commit, and whether files differed from it."""
    return f"{commit.sha[:length]}{' with changes' if commit.changed else ''}"
