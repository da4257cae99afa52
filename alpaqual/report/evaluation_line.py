"""The evaluation in one line, for formats that have no section for it."""

from __future__ import annotations

from alpaqual.results.results import Results


def evaluation_line(results: Results) -> str:
    """Return the evaluation in one line; empty without verdicts."""
    if results.evaluation is None:
        return ""
    # Most runs have no evaluation, and its modules take time to import.
    from alpaqual.report.evaluation import one_line

    return one_line(results.evaluation)
