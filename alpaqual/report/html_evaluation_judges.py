"""Shows how far judges can be trusted, each number beside its limit; and the answers that they were shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from alpaqual import amounts
from alpaqual.evaluation.agreement import LEAST_KAPPA, LENGTH_LIMIT, POSITION_LIMIT, UNREAD_LIMIT
from alpaqual.report.evaluation import (
    INSEPARABLE,
    agreement_words,
    cost,
    decimal,
    is_separable,
    judge_title,
    name,
    percent,
    percents,
)
from alpaqual.report.markup import NOTHING, Child, Html, count, join, named, note, records, table, tag
from alpaqual.report.svg import Scale, axis, interval_drawing
from alpaqual.results.evaluation import AnswersResult, EvaluationResult, JudgeResult

_MOST_ANSWERS = 200

_MEANING = (
    "The two orders show the same answers with their places swapped. Cohen's kappa is their agreement beyond chance: 1 is "
    "perfect, 0 is chance. A judge without a bias for a position lets each win half of its decided votes. The win rate at equal length "
    "is that of the first model where both answers are as long as each other. Vertical lines are limits, or one half."
)


def judges_part(evaluation: EvaluationResult) -> Html:
    """Return the health of each judge, and how several agree."""
    if not evaluation.judges:
        return NOTHING
    parts: list[Child] = [tag("h3", "Judges"), note(_MEANING)]
    for label, judge in evaluation.judges.items():
        parts += [
            tag("h4", named(judge_title(label, judge))),
            *(_flag(flag) for flag in judge.flags),
            _health(label, judge),
        ]
    parts += [_costs(evaluation), _agreements(evaluation)]
    return join(parts)


def _flag(flag: str) -> Html:
    return tag("p", tag("span", flag, class_="bad said"))


def _health(label: str, judge: JudgeResult) -> Html:
    """Return each measure with its limit, drawn on a scale from 0 to 1."""
    rows: list[list[Child]] = []
    if judge.order_kappa is not None:
        found, limit = decimal(judge.order_kappa), f"at least {LEAST_KAPPA:g}"
        drawn = _drawn("kappa", judge.order_kappa, (LEAST_KAPPA,))
        rows.append(["kappa of the two orders", found, agreement_words(judge.order_kappa), limit, drawn])
    positions = f"{percent(1 - POSITION_LIMIT)} to {percent(POSITION_LIMIT)}"
    unread = judge.unread / judge.votes if judge.votes else None
    within = percents(judge.length_controlled_interval)
    shares: list[tuple[str, float | None, str, str, tuple[float, ...]]] = [
        ("the two orders agree", judge.order_agreement, "of items", "", ()),
        (
            "first position wins",
            judge.first_position_rate,
            "of decided votes",
            positions,
            (1 - POSITION_LIMIT, POSITION_LIMIT),
        ),
        ("longer answer wins", judge.longer_wins_rate, "of decided verdicts", "", (0.5,)),
        (
            "longer answer wins, balanced",
            judge.balanced_longer_rate,
            "of decided verdicts, each model longer equally often",
            f"under {percent(LENGTH_LIMIT)}",
            (LENGTH_LIMIT,),
        ),
        ("unread votes", unread, "of votes", f"at most {percent(UNREAD_LIMIT)}", (UNREAD_LIMIT,)),
        ("win rate", judge.win_rate, "of the first model, a tie as half", "", (0.5,)),
        (
            "win rate at equal length",
            judge.length_controlled_rate,
            INSEPARABLE if not is_separable(judge) else f"95% interval {within}" if within != "–" else "",
            "",
            (0.5,),
        ),
    ]
    for title, share, of, limit, marks in shares:
        if share is not None:
            bounds = judge.length_controlled_interval if share is judge.length_controlled_rate else None
            rows.append([title, percent(share), of, limit, _drawn(title, share, marks, bounds)])
    if not rows:
        return tag("p", "No vote can be read.")
    heads: list[str] = ["measure", "found", "", "limit", axis(Scale(0.0, 1.0))]
    return table(heads, rows, words=(0, 2, 3, 4), label=f"Health of judge {label}")


def _drawn(title: str, value: float, marks: tuple[float, ...], bounds: Sequence[float] | None = None) -> Html:
    return interval_drawing(Scale(0.0, 1.0, marks), value, bounds, label=f"{title}: {value:.2f}", strong=True)


def _costs(evaluation: EvaluationResult) -> Html:
    rows: list[dict[str, Child]] = [
        {
            "judge": name(label),
            "items": count(judge.n),
            "votes": count(judge.votes),
            "unread votes": count(judge.unread),
            "calls made": count(judge.calls_made),
            "calls reused": count(judge.calls_reused),
            "tokens read": count(judge.input_tokens),
            "tokens written": count(judge.output_tokens),
            "cost": cost(judge),
        }
        for label, judge in evaluation.judges.items()
    ]
    return records(filled(rows, optional=_CALLS), words=("judge",), label="Calls and cost of judges")


_CALLS = {"unread votes", "calls made", "calls reused", "tokens read", "tokens written", "cost"}
"""Columns that are left out where no judge has a value for them."""


def filled(rows: Sequence[dict[str, Child]], *, optional: Collection[str]) -> list[dict[str, Child]]:
    """Return the rows without the optional columns that have nothing in any row."""
    empty = {head for head in optional if all(row[head] in ("0", "–", "") for row in rows)}
    return [{head: cell for head, cell in row.items() if head not in empty} for row in rows]


def _agreements(evaluation: EvaluationResult) -> Html:
    rows: list[dict[str, Child]] = [
        {
            "judges": " and ".join(name(each) for each in found.judges),
            "items of both": count(found.n),
            "same verdict": percent(found.agreement),
            "kappa": decimal(found.kappa),
            "agreement": agreement_words(found.kappa),
        }
        for found in evaluation.agreements
    ]
    shown = records(rows, words=("judges", "agreement"), label="Agreement of judges")
    return join([tag("h4", "Agreement of judges"), shown]) if rows else NOTHING


def answers_part(evaluation: EvaluationResult) -> Html:
    """Return what each model answered on each test set."""
    rows = [_answers(each) for each in evaluation.answers[:_MOST_ANSWERS]]
    if not rows:
        return NOTHING
    words = ("model", "test set", "why unanswered")
    meaning = "Answers that were cut reached the limit of new tokens; empty ones have no text."
    more = len(evaluation.answers) - len(rows)
    rest = note(f"… and {count(more)} more lines.") if more > 0 else NOTHING
    return join(
        [
            tag("h3", "Answers"),
            records(filled(rows, optional=_OPTIONAL), words=words, label="Answers"),
            rest,
            note(meaning),
        ]
    )


_OPTIONAL = {
    "cut",
    "empty",
    "unanswered",
    "why unanswered",
    "GPU hours",
    "cost",
    "characters, mean",
    "calls reused",
    "tokens read",
    "tokens written",
    "time",
}
"""Columns that are left out where no answer has a value for them."""


def _answers(each: AnswersResult) -> dict[str, Child]:
    missing = sum(each.unanswered.values())
    why = each.why or ", ".join(f"{reason} ({items:,})" for reason, items in each.unanswered.items())
    return {
        "model": name(each.model),
        "test set": name(each.test_set),
        "questions": count(each.questions),
        "answered": count(each.answered),
        "cut": count(each.cut),
        "empty": count(each.empty),
        "unanswered": count(missing),
        "why unanswered": why,
        "characters, mean": "–" if each.mean_characters is None else f"{each.mean_characters:,.0f}",
        "tokens read": count(each.input_tokens),
        "tokens written": count(each.output_tokens),
        "calls reused": count(each.calls_reused),
        "time": amounts.duration(each.seconds) if each.seconds else "–",
        "GPU hours": "–" if each.gpu_hours is None else f"{each.gpu_hours:.3g}",
        "cost": cost(each),
    }
