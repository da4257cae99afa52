"""Texts and numbers about an evaluation that all reports share; each escapes them when it writes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from alpaqual import amounts
from alpaqual.evaluation.agreement import LEAST_KAPPA
from alpaqual.report.escape import shorten
from alpaqual.results.evaluation import AnswersResult, EvaluationResult, JudgeResult, PairResult, VerdictCounts

FEWEST_RATED = 3
"""Models that a rating says something of: of two, the pair says everything."""

TOGETHER = "all together"
"""The name of all test sets of a pair."""

SCORE_MEANING = "The winning score is (wins − losses) / items + 1; 1 means as good as the other model."
RULE_MEANING = {
    "paper": "By the rule paper, a win is one in both orders, or in one of them beside a tie.",
    "fastchat": "By the rule fastchat, a win is one in both orders.",
    "mean_score": "By the rule mean_score, a win is the higher mean score over both orders.",
}
INSEPARABLE = "not separable from length"
DOUBT = "Rely on none of its findings."
UNJUDGED_MEANING = "Unjudged items lack a verdict that can be read and are in no other number."

_MOST_NAME = 60
_TENTH = 10
"""From this part of a model's answers on, cut or empty ones limit what its verdicts say."""
_MOST_PAIRS = 3


def own_rule(evaluation: EvaluationResult) -> list[PairResult]:
    """Return the verdicts by the recipe's rule: pair by pair, each with its test sets first and all of them together last."""
    order = dict.fromkeys(key(each) for each in evaluation.pairs)
    order |= dict.fromkeys(key(each) for each in evaluation.overall if key(each) not in order)
    places = {each: index for index, each in enumerate(order)}
    own = [each for each in evaluation.pairs if each.rule == evaluation.rule]
    several = {each for each, tested in _test_sets(own).items() if len(tested) > 1}
    own += [each for each in evaluation.overall if each.rule == evaluation.rule and key(each) in several]
    own.sort(key=lambda each: (places[key(each)], each.test_set is None))
    return own


def cost(made: JudgeResult | AnswersResult) -> str:
    """Return what requests cost; a dash where none was made."""
    if not made.cost_usd and not made.calls_made:
        return "–"
    return amounts.dollars(made.cost_usd) if made.priced else "unknown"


def key(pair: PairResult) -> tuple[str, str, str]:
    """Return judge and models of a pair."""
    return pair.judge, pair.a, pair.b


def _test_sets(pairs: Iterable[PairResult]) -> dict[tuple[str, str, str], list[str | None]]:
    found: dict[tuple[str, str, str], list[str | None]] = {}
    for each in pairs:
        found.setdefault(key(each), []).append(each.test_set)
    return found


def summaries(evaluation: EvaluationResult) -> list[PairResult]:
    """Return one entry for each judge and pair: all test sets together, or the only one."""
    return [list(entries)[-1] for _, entries in groupby(own_rule(evaluation), key=key)]


def other_rules(evaluation: EvaluationResult) -> dict[tuple[str, str, str, str | None], dict[str, PairResult]]:
    """Return the verdicts by the other rules: (judge, a, b, test set) -> rule -> verdicts."""
    found: dict[tuple[str, str, str, str | None], dict[str, PairResult]] = {}
    for each in (*evaluation.pairs, *evaluation.overall):
        if each.rule != evaluation.rule:
            found.setdefault((*key(each), each.test_set), {})[each.rule] = each
    return found


def rule_names(evaluation: EvaluationResult) -> list[str]:
    """Return the rules, the recipe's own first."""
    return list(dict.fromkeys([evaluation.rule, *(each.rule for each in evaluation.pairs)]))


def several_judges(evaluation: EvaluationResult) -> bool:
    """Return whether more than one judge has verdicts."""
    return len({each.judge for each in evaluation.pairs}) > 1


def has_unjudged(pairs: Iterable[VerdictCounts]) -> bool:
    """Return whether an item of a pair is unjudged."""
    return any(each.unjudged for each in pairs)


def name(text: str) -> str:
    """Return the name of a model, a test set or a judge in one line."""
    return shorten(text, _MOST_NAME) or "no name"


def names(pair: PairResult) -> str:
    """Return both models of a pair."""
    return f"{name(pair.a)} against {name(pair.b)}"


def tested(pair: PairResult) -> str:
    """Return the test set of a pair, or that it is all of them."""
    return TOGETHER if pair.test_set is None else name(pair.test_set)


def score(value: float | None) -> str:
    """Return a winning score with two decimals, or with as many as show that it is not 1."""
    if value is None or not math.isfinite(value):
        return "–"
    written = (f"{value:.{decimals}f}" for decimals in (2, 3, 4))
    return next((each for each in written if value == 1 or float(each) != 1), f"{value:.6f}")


def interval(bounds: Sequence[float] | None) -> str:
    """Return the interval of a winning score: "0.97 to 1.13"."""
    return "–" if bounds is None else f"{score(bounds[0])} to {score(bounds[1])}"


def percents(bounds: Sequence[float] | None) -> str:
    """Return an interval of shares: "55% to 61%"."""
    return "–" if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"


def whole(bounds: Sequence[float] | None) -> str:
    """Return an interval of ratings: "1,015 to 1,065"."""
    return "–" if bounds is None else f"{bounds[0]:,.0f} to {bounds[1]:,.0f}"


def percent(share: float | None) -> str:
    """Return a share as a percentage without decimals."""
    return "–" if share is None else f"{100 * share:.0f}%"


def is_separable(judge: JudgeResult) -> bool:
    """Return whether the win rate at equal length says anything: its interval leaves out some rate."""
    bounds = judge.length_controlled_interval
    return bounds is None or percents(bounds) != "0% to 100%"


def equal_length(judge: JudgeResult) -> str:
    """Return the win rate at equal length with its interval; a dash where length and model cannot be separated."""
    if not is_separable(judge):
        return f"– ({INSEPARABLE})"
    bounds = judge.length_controlled_interval
    return percent(judge.length_controlled_rate) + (f" ({percents(bounds)})" if bounds is not None else "")


def decimal(value: float | None, decimals: int = 2) -> str:
    """Return a number with a fixed number of decimals."""
    return "–" if value is None else f"{value:.{decimals}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """Return the p-value of a sign test."""
    return "–" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


_FOUND = {"helps": "helps", "hurts": "hurts", "not shown": "not shown to help"}


def controls(evaluation: EvaluationResult) -> list[str]:
    """Return a sentence for each model that is judged beside its size-matched random control."""
    found = {each.a: each.control for each in evaluation.pairs if each.control is not None}
    return [
        f"{name(control)} is the random control of {name(model)}: as many rows, chosen by chance."
        for model, control in found.items()
    ]


def finding(pair: PairResult) -> str:
    """Return what the interval says of a pair: helps, hurts or not shown to help."""
    return "nothing is judged" if pair.winning_score is None else _FOUND[pair.shown]


def is_doubted(evaluation: EvaluationResult, pair: PairResult) -> bool:
    """Return whether the judge of a pair is flagged."""
    judge = evaluation.judges.get(pair.judge)
    return judge is not None and bool(judge.flags)


def needed(pair: PairResult) -> str:
    """Return how many items would show the difference, where the interval holds 1; else nothing."""
    if (items := needed_items(pair)) is not None:
        return f"about {items:,} items would show this difference"
    balanced = pair.shown == "not shown" and pair.winning_score == 1 and pair.win
    return "wins and losses balance" if balanced else ""


def needed_items(pair: PairResult) -> int | None:
    """Return about how many items would show the difference, where the interval holds 1."""
    if pair.shown != "not shown" or pair.needed is None or pair.needed <= pair.n:
        return None
    return _rounded(pair.needed)


def _rounded(items: int) -> int:
    """Return a number to two significant digits, upwards: it is an estimate."""
    step = int(10 ** max(0, len(str(items)) - 2))
    return -(-items // step) * step


def sentence(pair: PairResult, *, judged_by: bool = False) -> str:
    """Return a pair's verdicts and what they say, in one sentence without its end."""
    by = f", judged by {name(pair.judge)}" if judged_by else ""
    where = "" if pair.test_set is None else f" on {name(pair.test_set)}"
    if pair.winning_score is None:
        return f"{names(pair)}{where}{by}: no item is judged"
    bounds = f" (95% interval {interval(pair.interval)})" if pair.interval is not None else ""
    counts = f"{_count(pair.win, 'win')}, {_count(pair.tie, 'tie')}, {_count(pair.lose, 'loss', 'losses')}"
    said = f"{names(pair)}{where}{by}: {finding(pair)}, winning score {score(pair.winning_score)}{bounds}, {counts}"
    more = needed(pair)
    return f"{said}; {more}" if more else said


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def detectable(pair: PairResult) -> str:
    """Return the smallest difference that the items show in most comparisons, as a sentence; empty where it is unknown."""
    if pair.detectable is None:
        return ""
    return f"{_count(pair.n, 'item')} show a difference of {decimal(pair.detectable)} in 80% of such comparisons"


def unjudged_sentence(evaluation: EvaluationResult) -> str:
    """Count the unjudged items with their reasons; empty where all are judged."""
    own = [each for each in evaluation.pairs if each.rule == evaluation.rule]
    total = sum(each.unjudged for each in own)
    if not total:
        return ""
    reasons: dict[str, int] = {}
    for each in own:
        for reason, items in each.unjudged_reasons.items():
            reasons[reason] = reasons.get(reason, 0) + items
    because = ", ".join(f"{name(reason)} ({items:,})" for reason, items in sorted(reasons.items(), key=_most_first)[:6])
    verb = "items are" if total > 1 else "item is"
    return f"{total:,} {verb} unjudged and in no other number{': ' if because else ''}{because}."


def poor_answers(evaluation: EvaluationResult) -> list[str]:
    """Return a sentence for each model of which a tenth of the answers to a test set, or more, is cut or empty."""
    found = []
    for each in evaluation.answers:
        counts = ((each.cut, "cut at the limit of new tokens"), (each.empty, "empty"))
        many = [
            f"{items:,} {'is' if items == 1 else 'are'} {what}"
            for items, what in counts
            if items and items * _TENTH >= each.answered
        ]
        if many:
            where = f"{name(each.model)} to {name(each.test_set)}"
            found.append(f"Of {_count(each.answered, 'answer')} of {where}, {' and '.join(many)}.")
    return found


def meanings(evaluation: EvaluationResult) -> str:
    """Return what a winning score is, and what a win is by the recipe's rule, where a judge saw both orders."""
    both = any(each.order_agreement is not None for each in evaluation.judges.values())
    return f"{SCORE_MEANING} {RULE_MEANING.get(evaluation.rule, '')}".strip() if both else SCORE_MEANING


def _most_first(each: tuple[str, int]) -> tuple[int, str]:
    return -each[1], each[0]


def rules_differ(evaluation: EvaluationResult) -> list[str]:
    """Return a sentence for each pair, all test sets together, that another rule finds otherwise than the recipe's own."""
    others = other_rules(evaluation)
    found = []
    for mine in summaries(evaluation):
        for rule, other in others.get((*key(mine), mine.test_set), {}).items():
            if mine.winning_score is not None and other.winning_score is not None and other.shown != mine.shown:
                by = f", judged by {name(mine.judge)}" if several_judges(evaluation) else ""
                said = f"{finding(other)} (winning score {score(other.winning_score)}, {interval(other.interval)})"
                found.append(f"By the rule {rule}, {names(mine)}{by}: {said}.")
    return found


def agreement_words(kappa: float | None) -> str:
    """Return what a kappa means, in a word."""
    if kappa is None:
        return ""
    limits = (
        (0.0, "no more than chance"),
        (0.2, "slight"),
        (LEAST_KAPPA, "fair"),
        (0.6, "moderate"),
        (0.8, "substantial"),
    )
    return next((word for limit, word in limits if kappa < limit), "almost perfect")


def judge_title(label: str, judge: JudgeResult) -> str:
    """Return the name of a judge with its model and prompt."""
    parts = [each for each in (judge.model, f"prompt {judge.prompt}" if judge.prompt else "") if each]
    return f"{name(label)} ({', '.join(name(each) for each in parts)})" if parts else name(label)


def flags(judge: JudgeResult) -> str:
    """Return why a judge is flagged: the first reason, and how many more there are."""
    more = len(judge.flags) - 1
    return f"{judge.flags[0]}{f'; and {more} more' if more else ''}"


def flagged(evaluation: EvaluationResult) -> Mapping[str, JudgeResult]:
    """Return the judges with a flag."""
    return {label: judge for label, judge in evaluation.judges.items() if judge.flags}


def reached(evaluation: EvaluationResult) -> list[str]:
    """Return a sentence for the smallest nested dataset that reaches the whole set, by test set and judge."""
    judged_by = len({each.judge for each in evaluation.sizes}) > 1
    return [
        f"{name(each.model)}, {each.rows:,} rows, is the smallest nested dataset whose interval reaches the whole set, "
        f"against {name(each.against)} on {TOGETHER if each.test_set is None else name(each.test_set)}{f', judged by {name(each.judge)}' if judged_by else ''}."
        for each in evaluation.sizes
        if each.reaches
    ]


def one_line(evaluation: EvaluationResult) -> str:
    """Return the findings in one line; empty without verdicts."""
    by = several_judges(evaluation)
    found = [each for each in summaries(evaluation) if each.winning_score is not None]
    parts = [
        f"{names(each)}{f' by {name(each.judge)}' if by else ''} {finding(each)} ({score(each.winning_score)}, 95% {interval(each.interval)})"
        for each in found[:_MOST_PAIRS]
    ]
    more = len(found) - len(parts)
    parts += [f"{more} more"] if more > 0 else []
    parts += [f"the judge '{name(label)}' is flagged: rely on none of its findings" for label in flagged(evaluation)]
    return "; ".join(parts)
