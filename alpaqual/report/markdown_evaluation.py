"""Writes an evaluation in Markdown: what each pair shows, how far the judges can be trusted, and details that open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alpaqual.report.escape import plain_markdown
from alpaqual.report.evaluation import (
    DOUBT,
    FEWEST_RATED,
    controls,
    cost,
    decimal,
    equal_length,
    finding,
    flagged,
    flags,
    has_unjudged,
    interval,
    is_doubted,
    judge_title,
    key,
    meanings,
    name,
    names,
    needed,
    other_rules,
    own_rule,
    percent,
    poor_answers,
    reached,
    rule_names,
    rules_differ,
    score,
    several_judges,
    summaries,
    tested,
    unjudged_sentence,
    whole,
)
from alpaqual.report.markdown_parts import MOST_LISTED, count, folded, table
from alpaqual.results.evaluation import EvaluationResult, PairResult

_MOST_OPEN = 12
"""With more lines than this, the table shows each pair once; its test sets are in the details."""

_MOST_SENTENCES = 5
_MOST_CHARACTERS = 600


def evaluation_sections(evaluation: EvaluationResult) -> Iterator[str]:
    """Yield the findings with what limits them, then the details one by one, so that a long report loses only the last of them."""
    yield "### Evaluation\n\n" + "\n".join(part for part in (*_findings(evaluation), *_limits(evaluation)) if part)
    yield from _details(evaluation)


def _findings(evaluation: EvaluationResult) -> Iterator[str]:
    pairs = own_rule(evaluation)
    if not pairs:
        yield "No item is judged.\n"
        return
    shown = pairs if len(pairs) <= _MOST_OPEN else summaries(evaluation)
    yield _table(evaluation, shown)
    yield f"{meanings(evaluation)}\n"


def _table(evaluation: EvaluationResult, pairs: Sequence[PairResult]) -> str:
    judges, unjudged = several_judges(evaluation), has_unjudged(pairs)
    heads = ["pair", *(["judge"] if judges else []), "test set", "items", "win", "tie", "lose"]
    words = [heads.index(each) for each in heads if each in ("pair", "judge", "test set")]
    heads += [*(["unjudged"] if unjudged else []), "winning score", "95% interval", "finding"]
    body = []
    for each in pairs[:MOST_LISTED]:
        cells = [plain_markdown(names(each)), *([plain_markdown(name(each.judge))] if judges else [])]
        cells += [plain_markdown(tested(each)), *(count(each[column]) for column in ("n", "win", "tie", "lose"))]
        cells += [count(each.unjudged)] if unjudged else []
        body.append([*cells, score(each.winning_score), interval(each.interval), _finding(evaluation, each)])
    more = len(pairs) - MOST_LISTED
    return table(heads, body, words=(*words, len(heads) - 1)) + (f"\n… and {more} more lines.\n" if more > 0 else "")


def _finding(evaluation: EvaluationResult, pair: PairResult) -> str:
    said, more = finding(pair), needed(pair)
    if is_doubted(evaluation, pair):
        return f"{said} (⚠️ judge flagged)"
    strong = f"**{said}**" if pair.shown != "not shown" and pair.winning_score is not None else said
    return f"{strong} ({more})" if more else strong


def _limits(evaluation: EvaluationResult) -> Iterator[str]:
    """Yield what limits the findings: flagged judges, rules that differ, unjudged items, random controls, stages that did not run."""
    lines = [
        f"⚠️ The judge **{plain_markdown(name(label))}** is flagged: {plain_markdown(flags(judge), _MOST_CHARACTERS)}. {DOUBT}"
        for label, judge in flagged(evaluation).items()
    ]
    differ = rules_differ(evaluation)
    lines += [plain_markdown(each, _MOST_CHARACTERS) for each in differ[:_MOST_SENTENCES]]
    lines += (
        [f"… and {len(differ) - _MOST_SENTENCES} more differences between rules."]
        if len(differ) > _MOST_SENTENCES
        else []
    )
    lines += [plain_markdown(each, _MOST_CHARACTERS) for each in reached(evaluation)[:_MOST_SENTENCES]]
    sentences = (unjudged_sentence(evaluation), *poor_answers(evaluation)[:_MOST_SENTENCES], *controls(evaluation))
    lines += [plain_markdown(each, _MOST_CHARACTERS) for each in sentences if each]
    waiting = list(evaluation.waiting.items())
    lines += [f"Not run: {plain_markdown(stage)}: {plain_markdown(why)}" for stage, why in waiting[:_MOST_SENTENCES]]
    lines += (
        [f"… and {len(waiting) - _MOST_SENTENCES} more stages that did not run."]
        if len(waiting) > _MOST_SENTENCES
        else []
    )
    yield "".join(f"- {each}\n" for each in lines)


def _details(evaluation: EvaluationResult) -> Iterator[str]:
    pairs = own_rule(evaluation)
    parts = (
        ("Each test set", _table(evaluation, pairs) if len(pairs) > _MOST_OPEN else ""),
        ("Judges", _judges(evaluation)),
        ("Other rules", _rules(evaluation)),
        ("Categories and skills", _groups(evaluation)),
        ("Ratings", _ratings(evaluation)),
        ("Capability", _capability(evaluation)),
        ("Answers", _answers(evaluation)),
    )
    yield from (folded(title, body) for title, body in parts if body)


def _judges(evaluation: EvaluationResult) -> str:
    heads = ["judge", "items", "orders agree", "kappa of orders", "first position wins", "longer answer wins"]
    heads += ["win rate", "win rate at equal length", "cost"]
    body = [
        [
            plain_markdown(judge_title(label, judge)),
            count(judge.n),
            percent(judge.order_agreement),
            decimal(judge.order_kappa),
            percent(judge.first_position_rate),
            percent(judge.longer_wins_rate),
            percent(judge.win_rate),
            equal_length(judge),
            cost(judge),
        ]
        for label, judge in list(evaluation.judges.items())[:MOST_LISTED]
    ]
    agree = [
        f"- {plain_markdown(' and '.join(name(each) for each in found.judges))} agree on {percent(found.agreement)} of {found.n:,} "
        f"items (kappa {decimal(found.kappa)})\n"
        for found in evaluation.agreements[:MOST_LISTED]
    ]
    return table(heads, body) + ("\n" + "".join(agree) if agree else "") if body else ""


def _rules(evaluation: EvaluationResult) -> str:
    """Return the winning score by each rule, where there is more than one."""
    others = other_rules(evaluation)
    rules = rule_names(evaluation)
    if len(rules) < 2:
        return ""
    judges = several_judges(evaluation)
    body = []
    for each in own_rule(evaluation)[:MOST_LISTED]:
        beside = {evaluation.rule: each, **others.get((*key(each), each.test_set), {})}
        about = [plain_markdown(names(each)), *([plain_markdown(name(each.judge))] if judges else [])]
        body.append([*about, plain_markdown(tested(each)), *(_by_rule(beside.get(rule)) for rule in rules)])
    heads = ["pair", *(["judge"] if judges else []), "test set", *(f"`{rule}`" for rule in rules)]
    return table(heads, body, words=range(len(heads) - len(rules)))


def _by_rule(pair: PairResult | None) -> str:
    if pair is None or pair.winning_score is None:
        return "–"
    return f"{score(pair.winning_score)} ({pair.win}/{pair.tie}/{pair.lose})"


def _groups(evaluation: EvaluationResult) -> str:
    """Return the winning score of each category and skill: one column for each pair of the first judge."""
    own = [each for each in own_rule(evaluation) if each.categories or each.skills]
    own = [each for each in own if each.judge == own[0].judge]
    pairs = list(dict.fromkeys((each.a, each.b) for each in own))[:4]
    rows: dict[tuple[str | None, str], dict[tuple[str, str], str]] = {}
    for each in own:
        for group, found in {**each.categories, **each.skills}.items():
            few = "\\*" if found.few else ""
            cell = f"{score(found.winning_score)} ({found.n}){few}"
            rows.setdefault((each.test_set, group), {})[each.a, each.b] = cell
    body = [
        [plain_markdown(name(test_set or "")), plain_markdown(name(group)), *(cells.get(pair, "–") for pair in pairs)]
        for (test_set, group), cells in list(rows.items())[: 2 * MOST_LISTED]
    ]
    if not body:
        return ""
    by = f", judged by {plain_markdown(name(own[0].judge))}" if several_judges(evaluation) else ""
    heads = ["test set", "group", *(plain_markdown(f"{name(a)} against {name(b)}") for a, b in pairs)]
    return table(heads, body, words=(0, 1)) + f"\nWinning score (items){by}; \\* too few items to read anything from.\n"


def _ratings(evaluation: EvaluationResult) -> str:
    if len(evaluation.ratings) < FEWEST_RATED:
        return ""
    ordered = sorted(evaluation.ratings.items(), key=lambda each: (-each[1].rating, each[0]))[:MOST_LISTED]
    body = [
        [plain_markdown(name(model)), f"{each.rating:,.0f}", whole(each.interval), count(each.n)]
        for model, each in ordered
    ]
    return table(["model", "Bradley-Terry rating", "95% interval", "items"], body) if body else ""


def _capability(evaluation: EvaluationResult) -> str:
    body = [
        [
            plain_markdown(name(model)),
            plain_markdown(name(reference)),
            f"{each.percentage:.1f}%",
            _bounds(each.interval),
            count(each.n),
        ]
        for model, references in evaluation.capability.items()
        for reference, each in references.items()
    ][:MOST_LISTED]
    heads = ["model", "reference", "score as a percentage of the reference's", "95% interval", "items"]
    return table(heads, body, words=(0, 1)) if body else ""


def _bounds(bounds: Sequence[float] | None) -> str:
    return "–" if bounds is None else f"{bounds[0]:.1f}% to {bounds[1]:.1f}%"


def _answers(evaluation: EvaluationResult) -> str:
    body = [
        [
            plain_markdown(name(each.model)),
            plain_markdown(name(each.test_set)),
            *(count(each[column]) for column in ("questions", "answered", "cut", "empty")),
            f"{each.output_tokens:,}" if each.output_tokens else "–",
            cost(each),
        ]
        for each in evaluation.answers
        if not each.why
    ][:MOST_LISTED]
    heads = ["model", "test set", "questions", "answered", "cut", "empty", "tokens", "cost"]
    return table(heads, body, words=(0, 1)) if body else ""
