"""Writes the graders in Markdown: their scores, what these cost, and whether a grader has drifted."""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.report.escape import markdown, plain_markdown
from alpaqual.report.graders import (
    Confusion,
    Graders,
    cascade_sentence,
    checks,
    confusion,
    cost_of,
    money_sentences,
    readings,
    samples_sentence,
    scores_from,
    tally,
    title,
    unscored_reasons,
    with_requests,
)
from alpaqual.report.markdown_parts import MOST_LISTED, count, folded, share, table
from alpaqual.results.graders import GraderResult, HealthCheck
from alpaqual.values import State

_BAR = 30
_COSTS = [
    "calls made",
    "replies reused",
    "tokens in",
    "tokens out",
    "cost of this run",
    "original cost of reused replies",
]
_MOST_SCORES = 21
"""A table has a column for each of at most this many scores."""
_SIGN = {State.PASS: "✅", State.WARN: "⚠️", State.FAIL: "❌", State.ERROR: "🛑"}


def histograms(graders: Graders) -> str:
    """Return the rows of each score as bars of text."""
    parts: list[str] = []
    for name, grader in graders.items():
        bars = grader.histogram
        if not bars:
            continue
        most = max(bar.rows for bar in bars) or 1
        body = [
            [
                f"{bar.score:g}",
                count(bar.rows),
                share(bar.rows, grader.rows),
                "█" * max(1, round(bar.rows / most * _BAR)),
            ]
            for bar in bars[:MOST_LISTED]
        ]
        if grader.unscored:
            body.append(["_unscored_", count(grader.unscored), share(grader.unscored, grader.rows), ""])
        heading = f"### Scores: {_titled(name, grader.dimension)}\n\n"
        parts.append(heading + table(["score", "rows", "of all rows", "histogram"], body, words=(0, 3)))
    return "\n".join(parts)


def _titled(name: str, dimension: str) -> str:
    return plain_markdown(name) if name == dimension else f"{plain_markdown(name)} ({markdown(dimension, 60)})"


def graders_table(graders: Graders) -> str:
    """Return where scores come from, and calls and costs where a model was used."""
    if not graders:
        return ""
    asked = with_requests(graders)
    header = ["grader", "scores from", "scored", "unscored"]
    paces = [name for name in asked if graders[name].calls_per_second]
    header += _COSTS if asked else []
    header += ["calls a second"] if paces else []
    body = []
    for name, grader in list(graders.items())[:MOST_LISTED]:
        cells = [plain_markdown(name), markdown(scores_from(grader), 120), count(grader.scored), _unscored(grader)]
        if asked:
            cells += _costs(grader) if name in asked else ["–"] * len(_COSTS)
        if paces:
            cells.append(f"{grader.calls_per_second:g}" if name in paces else "–")
        body.append(cells)
    more = len(graders) - MOST_LISTED
    note = f"\n… and {more} more graders.\n" if more > 0 else ""
    said = [text for name, grader in graders.items() for text in money_sentences(name, grader)][:MOST_LISTED]
    note += "".join(f"\n{plain_markdown(text)}\n" for text in said)
    return "### Graders\n\n" + table(header, body, words=(0, 1)) + note


def _unscored(grader: GraderResult) -> str:
    reasons, more = unscored_reasons(grader)
    texts = [f"{markdown(reason, 60)} {rows:,}" for reason, rows in reasons]
    texts += [f"{more} more reasons"] if more else []
    return f"{grader.unscored:,}" + (f" ({', '.join(texts)})" if texts else "")


def _costs(grader: GraderResult) -> list[str]:
    counts = [count(grader[key]) for key in ("calls_made", "calls_reused", "input_tokens", "output_tokens")]
    return [*counts, cost_of(grader, grader.cost_usd), cost_of(grader, grader.bought_usd)]


def health(graders: Graders) -> str:
    """Return the checks that warn or fail, all checks folded, and what cascades saved."""
    every = checks(graders)
    sentences = [write(name, each) for name, each in graders.items() for write in (cascade_sentence, samples_sentence)]
    parts = [f"{plain_markdown(text)}\n" for text in sentences if text]
    if every:
        wrong = [each for each in every if each[1].state is not State.PASS]
        parts += [_check_table(wrong)] if wrong else []
        meaning = "".join(f"- **{plain_markdown(check)}**: {reading}\n" for check, reading in readings(graders))
        parts.append(folded(f"Grader health: {tally(every)}", f"{_check_table(every)}\n{meaning}"))
    found = (confusion(name, grader) for name, grader in graders.items())
    parts += [confusion_block(each) for each in found if each is not None]
    return "### Grader health\n\n" + "\n".join(parts) if parts else ""


def _check_table(every: Sequence[tuple[str, HealthCheck]]) -> str:
    body = [
        [
            plain_markdown(name),
            plain_markdown(title(check.check)),
            f"{_SIGN[check.state]} {check.state}",
            plain_markdown(check.text),
            plain_markdown(check.warn or "–"),
            plain_markdown(check.fail or "–"),
        ]
        for name, check in every[:MOST_LISTED]
    ]
    more = len(every) - MOST_LISTED
    note = f"\n… and {more} more checks.\n" if more > 0 else ""
    return table(["grader", "check", "state", "found", "warns", "fails"], body, words=(0, 1, 2, 3)) + note


def confusion_block(found: Confusion) -> str:
    """Return rows by the pair of scores that two gave them, folded."""
    summary = plain_markdown(f"Scores of {found.name} and of {found.other} for the same rows")
    sentence = plain_markdown(found.sentence)
    if len(found.scores) > _MOST_SCORES:
        return folded(summary, f"{sentence} The table of all {len(found.scores)} scores is in report.html.\n")
    header = [plain_markdown(f"{found.name} ↓ {found.other} →"), *(f"{score:g}" for score in found.scores)]
    body = [
        [f"{score:g}", *(_cell(found.cells.get((score, other), 0), score == other) for other in found.scores)]
        for score in reversed(found.scores)
    ]
    return folded(summary, f"{sentence} Rows with the same score are in bold.\n\n{table(header, body)}")


def _cell(rows: int, same: bool) -> str:
    if not rows:
        return "·" if same else ""
    return f"**{rows:,}**" if same else f"{rows:,}"
