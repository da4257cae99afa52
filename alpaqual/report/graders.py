"""What both the Markdown and the HTML report say of graders, as plain texts and numbers: whoever writes them escapes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.values import State

Graders = Mapping[str, Mapping[str, Any]]

READINGS = {
    "most_frequent": "the share of the score that is given most often: the higher, the less the grader tells rows apart",
    "length": "+1: longer responses always score higher; 0: the score says nothing of the length",
    "repeats": "the share of rows whose score was another when the same question was asked a second time",
    "golden": "the share of rows with a known score that the grader misses",
    "agreement.spearman": "+1: both graders put the rows in the same order; 0: their orders have nothing in common",
    "agreement.kappa": "1: both give the same scores; 0: no nearer than by chance; twice as far apart weighs four times",
}
"""How to read the number of a check."""

_MOST_REASONS = 5


def asked_models(graders: Graders) -> list[str]:
    """The graders that asked a model, now or in an earlier run."""
    return [name for name, grader in graders.items() if grader["calls_made"] or grader["calls_reused"]]


def money(dollars: float) -> str:
    """US dollars, in cents, or in finer parts where there are no cents."""
    if dollars and dollars < 0.01:
        return "<$0.0001" if dollars < 0.0001 else f"${dollars:.4f}"
    return f"${dollars:,.2f}"


def answering(grader: Mapping[str, Any]) -> str:
    """Where scores come from, with the models that answered by another name."""
    source: str = grader["source"]
    others = [model for model in grader["models"] if model != source]
    return f"{source} (answered by {', '.join(others)})" if others else source


def unscored_reasons(grader: Mapping[str, Any]) -> tuple[list[tuple[str, int]], int]:
    """The reasons that most unscored rows have, and how many more reasons there are."""
    reasons = sorted(grader["unscored_reasons"].items(), key=lambda each: (-each[1], each[0]))
    return reasons[:_MOST_REASONS], max(0, len(reasons) - _MOST_REASONS)


def checks(graders: Graders) -> list[tuple[str, Mapping[str, Any]]]:
    """Every check of every grader, with the grader's name; what fails first, then what warns."""
    every = [(name, check) for name, grader in graders.items() for check in grader.get("health", ())]
    return sorted(every, key=lambda each: -list(State).index(State(each[1]["state"])))


def title(check: str) -> str:
    """What a check is called: its place in the recipe."""
    return check.replace("_", " ").replace(".", ": ")


def readings(graders: Graders) -> list[tuple[str, str]]:
    """(title, how to read it) of every kind of check that there is."""
    there = {check["check"] for _, check in checks(graders)}
    return [(title(check), reading) for check, reading in READINGS.items() if check in there]


def tally(every: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """How the checks stand, in words."""
    states = [State(check["state"]) for _, check in every]
    parts = [
        f"{states.count(state)} {word}"
        for state, word in ((State.FAIL, "failed"), (State.WARN, "with a warning"))
        if state in states
    ]
    limited = any(check["warn"] or check["fail"] for _, check in every)
    parts = parts or ["every limit holds" if limited else "no limits are set"]
    return f"{len(every)} {'check' if len(every) == 1 else 'checks'}, {', '.join(parts)}"


def cascade_sentence(name: str, grader: Mapping[str, Any]) -> str:
    """What a cascade saved; nothing where the grader has none."""
    cascade = grader.get("cascade")
    if not cascade:
        return ""
    first, taken, saved = cascade["first"], cascade["taken_over"], cascade["saved_calls"]
    of = cascade["asked"] + taken
    said = f"The grader {name} was asked about {cascade['asked']:,} of {of:,} rows: the other {taken:,} kept the score that {first} gave"
    spared = f", which spared {saved:,} {'call' if saved == 1 else 'calls'}"
    if cascade["saved_usd"] is not None:
        spared += f" (about {money(cascade['saved_usd'])} at the mean cost of a call)"
    return f"{said}{spared}."


@dataclass(frozen=True)
class Confusion:
    """How often each pair of scores was given by two graders to the same row."""

    name: str
    other: str
    scores: tuple[float, ...]
    """Every score that one of both gave, ascending."""
    cells: Mapping[tuple[float, float], int]
    """Rows by (score, other's score)."""
    sentence: str


def confusion(name: str, grader: Mapping[str, Any]) -> Confusion | None:
    """The confusion table of a grader and the one that it is held against; None where there is none."""
    agreement = grader.get("agreement")
    if not agreement or not agreement["confusion"]:
        return None
    cells = {(float(cell["score"]), float(cell["other"])): int(cell["rows"]) for cell in agreement["confusion"]}
    scores = tuple(sorted({score for pair in cells for score in pair}))
    return Confusion(name, agreement["with"], scores, cells, _sentence(name, grader, cells))


def _sentence(name: str, grader: Mapping[str, Any], cells: Mapping[tuple[float, float], int]) -> str:
    agreement, step = grader["agreement"], grader["scale"]["step"]
    rows = sum(cells.values())
    same = sum(count for (score, other), count in cells.items() if score == other)
    near = sum(count for (score, other), count in cells.items() if abs(score - other) <= step * 1.001)
    said = (
        f"Both scored {rows:,} rows, {same:,} ({same / rows * 100:.1f}%) the same, {near:,} ({near / rows * 100:.1f}%) "
        f"the same or one step ({step:g}) apart"
    )
    alone = [
        f"{who} alone scored {agreement[key]:,}"
        for key, who in (("this_only", name), ("other_only", agreement["with"]))
        if agreement[key]
    ]
    return f"{said}. Beside them, {' and '.join(alone)}." if alone else f"{said}."
