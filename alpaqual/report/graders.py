"""Texts and numbers about graders that the Markdown and the HTML report share; both escape them when they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alpaqual.amounts import dollars
from alpaqual.results.graders import AgreementResult, GraderResult, HealthCheck
from alpaqual.values import State

Graders = Mapping[str, GraderResult]

READINGS = {
    "most_frequent": "the share of rows with the most frequent score: the higher it is, the less the scores rank the rows",
    "steps": "the share of scores on coarser steps than those of the scale",
    "template_tokens": "rows that hold a chat template's own tokens",
    "length": "+1: longer responses always score higher; 0: score and length are unrelated",
    "repeats": "the share of rows whose score differs when they are graded a second time",
    "golden": "the share of rows with a known score whose score is wrong or missing",
    "agreement.spearman": "+1: both graders rank the rows in the same order; 0: the orders are unrelated",
    "agreement.kappa": "1: both give the same scores; 0: as close as by chance; scores twice as far apart count four times",
}
"""How to read the value of a check."""

_MOST_REASONS = 5


def with_requests(graders: Graders) -> list[str]:
    """Return the graders that sent requests to a model, in this run or in an earlier one."""
    return [name for name, grader in graders.items() if grader.calls_made or grader.calls_reused]


def scores_from(grader: GraderResult) -> str:
    """Return where scores come from, with the models that answered under another name and the file that calibrates."""
    others = [model for model in grader.models if model != grader.source]
    source = f"{grader.source} (answered by {', '.join(others)})" if others else grader.source
    return source if grader.calibration is None else f"{source}, calibrated by {grader.calibration.file}"


def unscored_reasons(grader: GraderResult) -> tuple[list[tuple[str, int]], int]:
    """Return the most frequent reasons with their rows, and the number of further reasons."""
    reasons = sorted(grader.unscored_reasons.items(), key=lambda each: (-each[1], each[0]))
    return reasons[:_MOST_REASONS], max(0, len(reasons) - _MOST_REASONS)


def checks(graders: Graders) -> list[tuple[str, HealthCheck]]:
    """Return every check of every grader with the grader's name: failures first, then warnings."""
    every = [(name, check) for name, grader in graders.items() for check in grader.health]
    return sorted(every, key=lambda each: -list(State).index(each[1].state))


def title(check: str) -> str:
    """Return the title of a check: its key in the recipe."""
    return check.replace("_", " ").replace(".", ": ")


def readings(graders: Graders) -> list[tuple[str, str]]:
    """Return (title, how to read it) for every kind of check that the graders have."""
    present = {check.check for _, check in checks(graders)}
    return [(title(check), reading) for check, reading in READINGS.items() if check in present]


def tally(every: Sequence[tuple[str, HealthCheck]]) -> str:
    """Return the number of checks, of failures and of warnings, in words."""
    states = [check.state for _, check in every]
    parts = [
        f"{states.count(state)} {word}"
        for state, word in ((State.FAIL, "failed"), (State.WARN, "with a warning"))
        if state in states
    ]
    limited = any(check.warn or check.fail for _, check in every)
    parts = parts or ["all within their limits" if limited else "no limits are set"]
    return f"{len(every)} {'check' if len(every) == 1 else 'checks'}, {', '.join(parts)}"


def cascade_sentence(name: str, grader: GraderResult) -> str:
    """Return what a cascade saved, as a sentence; empty where the grader has none."""
    cascade = grader.cascade
    if cascade is None:
        return ""
    taken, saved = cascade.taken_over, cascade.saved_calls
    sentence = f"The grader {name} graded {cascade.asked:,} of {cascade.asked + taken:,} rows: the other {taken:,} kept the score that {cascade.first} gave"
    sentence += f", which saved {saved:,} {'call' if saved == 1 else 'calls'}"
    if cascade.saved_usd is not None:
        sentence += f" (about {dollars(cascade.saved_usd)} at the mean cost of a call)"
    return f"{sentence}."


def money_sentences(name: str, grader: GraderResult) -> list[str]:
    """Return what the costs of a grader do not say: an unknown price, requests without a reply, the provider's cache."""
    sentences = []
    if not grader.priced:
        model = grader.source.partition(", ")[0]
        sentences.append(
            f"The cost of {name} is unknown: no price is listed for {model}, and the recipe has no 'price:'."
        )
    if grader.lost_usd:
        what = "requests that gave no reply: filtered, unreadable, or lost to a timeout (at their most)"
        sentences.append(f"The cost of {name} has {dollars(grader.lost_usd)} for {what}.")
    if grader.cache_read_tokens or grader.cache_write_tokens:
        saved = grader.cache_saved_usd
        worth = f"saved {dollars(saved)}" if saved >= 0 else f"cost {dollars(-saved)} more than it saved"
        sentences.append(
            f"The provider's cache gave {grader.cache_read_tokens:,} of {grader.input_tokens:,} input tokens of {name} and took "
            f"{grader.cache_write_tokens:,} in, which {worth}."
        )
    return sentences


def cost_of(grader: GraderResult, usd: float) -> str:
    """Return an amount of a grader, or that it is unknown."""
    return dollars(usd) if grader.priced or usd else "unknown"


def samples_sentence(name: str, grader: GraderResult) -> str:
    """Return how far the samples of a row are apart, as a sentence; empty where a row is asked about once."""
    found = grader.samples
    if found is None:
        return ""
    sentence = f"The grader {name} asked {found.samples} times about each row: the samples differ in {found.differing:,} of {found.rows:,} scored rows"
    if found.mean_spread is not None and found.largest_spread is not None:
        sentence += f"; a row's largest score is {found.mean_spread:.2f} above its lowest on average, {found.largest_spread:g} at most"
    return f"{sentence}."


@dataclass(frozen=True)
class Confusion:
    """Rows by the pair of scores that two graders gave them."""

    name: str
    other: str
    scores: tuple[float, ...]
    """Every score that one of both gave, ascending."""
    cells: Mapping[tuple[float, float], int]
    """Rows by (score, other's score)."""
    sentence: str


def confusion(name: str, grader: GraderResult) -> Confusion | None:
    """Return the confusion table of a grader and the one it is compared with; None where there is none."""
    agreement = grader.agreement
    if agreement is None:
        return None
    cells = {(cell.score, cell.other): cell.rows for cell in agreement.confusion if cell.rows}
    if not cells:
        return None
    scores = tuple(sorted({score for pair in cells for score in pair}))
    return Confusion(name, agreement.with_, scores, cells, _sentence(name, agreement, grader.scale.step, cells))


def _sentence(
    name: str, agreement: AgreementResult, step: float | None, cells: Mapping[tuple[float, float], int]
) -> str:
    rows = sum(cells.values())
    same = sum(count for (score, other), count in cells.items() if score == other)
    sentence = f"Both scored {rows:,} rows, {same:,} ({same / rows * 100:.1f}%) the same"
    if step is not None:
        near = sum(count for (score, other), count in cells.items() if abs(score - other) <= step * 1.001)
        sentence += f", {near:,} ({near / rows * 100:.1f}%) the same or one step ({step:g}) apart"
    alone = [
        f"{grader} alone scored {count:,}"
        for grader, count in ((name, agreement.this_only), (agreement.with_, agreement.other_only))
        if count
    ]
    return f"{sentence}. Of the other rows, {' and '.join(alone)}." if alone else f"{sentence}."
