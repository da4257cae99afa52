"""Shows an evaluation: what each pair of models shows, on which items, and how far its judges can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from alpaqual.report.evaluation import (
    DOUBT,
    UNJUDGED_MEANING,
    controls,
    detectable,
    finding,
    flagged,
    flags,
    has_unjudged,
    interval,
    is_doubted,
    key,
    meanings,
    name,
    names,
    needed,
    needed_items,
    other_rules,
    own_rule,
    p_value,
    poor_answers,
    rule_names,
    rules_differ,
    score,
    several_judges,
    summaries,
    tested,
    unjudged_sentence,
)
from alpaqual.report.html_charts import Charts
from alpaqual.report.html_evaluation_groups import groups_part
from alpaqual.report.html_evaluation_judges import answers_part, judges_part
from alpaqual.report.html_evaluation_models import capability_part, models_part, sizes_part
from alpaqual.report.markup import NOTHING, Child, Html, count, folded, join, named, note, records, scrolling, tag
from alpaqual.report.svg import Scale, axis, interval_drawing, scale_of, stacked_bar
from alpaqual.results.evaluation import EvaluationResult, PairResult

_MOST_FINDINGS = 6
_MOST_LINES = 300
_MOST_OPEN = 40
"""A table of more lines scrolls under its heading."""

_SIGN = '<svg class="sign" viewBox="0 0 12 12" aria-hidden="true"><rect class="{}" width="12" height="12"/></svg>'


def evaluation_section(evaluation: EvaluationResult, charts: Charts) -> Html:
    """Return the findings first, then what limits them, then every part of the evaluation."""
    parts = [
        _findings(evaluation),
        _limits(evaluation),
        _pairs(evaluation),
        groups_part(evaluation),
        models_part(evaluation),
        sizes_part(evaluation, charts),
        capability_part(evaluation),
        judges_part(evaluation),
        answers_part(evaluation),
    ]
    return join(parts)


def _findings(evaluation: EvaluationResult) -> Html:
    """Return one sentence for each pair."""
    found = summaries(evaluation)
    if not found:
        return tag("p", "No item is judged.")
    lines = [tag("li", _finding(evaluation, each)) for each in found]
    more = folded(
        f"{count(len(lines) - _MOST_FINDINGS)} more pairs", tag("ul", *lines[_MOST_FINDINGS:], class_="findings")
    )
    return join([tag("ul", *lines[:_MOST_FINDINGS], class_="findings"), more if len(lines) > _MOST_FINDINGS else ""])


def _finding(evaluation: EvaluationResult, pair: PairResult) -> Html:
    by: Child = join([", judged by ", named(name(pair.judge))]) if several_judges(evaluation) else ""
    where: Child = join([" on ", named(name(pair.test_set))]) if pair.test_set is not None else ""
    who: list[Child] = [*_who(pair), where, by]
    if pair.winning_score is None:
        return join([*who, ": no item is judged."])
    bounds = f" (95% interval {interval(pair.interval)})" if pair.interval is not None else ""
    more = "; ".join(each for each in (needed(pair), detectable(pair)) if each and pair.shown == "not shown")
    said = f", winning score {score(pair.winning_score)}{bounds}, {count(pair.n)} items{'; ' if more else ''}{more}."
    return join([*who, ": ", _shown(evaluation, pair), said])


def _shown(evaluation: EvaluationResult, pair: PairResult) -> Html:
    """Return the finding, marked where it is one; that of a flagged judge is not."""
    if is_doubted(evaluation, pair):
        return tag("span", f"{finding(pair)} ", tag("span", "(judge flagged)", class_="bad"), class_="shown")
    marked = pair.shown != "not shown" and pair.winning_score is not None
    return tag("span", finding(pair), class_=f"shown {pair.shown}" if marked else "shown")


def _limits(evaluation: EvaluationResult) -> Html:
    """Return what limits the findings: flagged judges, other rules, unjudged items, random controls, stages that did not run."""
    items = [
        tag(
            "li",
            "The judge ",
            named(name(label)),
            " is flagged: ",
            tag("span", flags(judge), class_="bad"),
            f". {DOUBT}",
        )
        for label, judge in flagged(evaluation).items()
    ]
    differ = rules_differ(evaluation)
    more = (
        f"… and {count(len(differ) - _MOST_FINDINGS)} more differences between rules."
        if len(differ) > _MOST_FINDINGS
        else ""
    )
    answers = poor_answers(evaluation)[:_MOST_FINDINGS]
    sentences = [*differ[:_MOST_FINDINGS], more, unjudged_sentence(evaluation), *answers, *controls(evaluation)]
    items += [tag("li", each) for each in sentences if each]
    items += [tag("li", "Not run: ", tag("code", stage), f": {why}") for stage, why in evaluation.waiting.items()]
    return tag("ul", *items) if items else NOTHING


def _pairs(evaluation: EvaluationResult) -> Html:
    """Return a table for each judge: every pair and test set with its bar and its interval on one scale."""
    pairs = own_rule(evaluation)
    scale = scale_of([each.interval for each in pairs if each.interval is not None], mark=1.0)
    if not pairs or scale is None:
        return NOTHING
    parts = [tag("h3", "Wins, ties and losses"), _legend()]
    for judge in dict.fromkeys(each.judge for each in pairs):
        own = [each for each in pairs if each.judge == judge]
        title = tag("h4", "Judged by ", named(name(judge))) if several_judges(evaluation) else NOTHING
        parts += [title, _table(evaluation, own, scale), _rules(evaluation, own)]
    sentences = [meanings(evaluation), "The vertical line is at 1. p is that of the sign test."]
    sentences += [_TOGETHER] if any(each.test_set is None for each in pairs) else []
    sentences += [_NEEDED] if any(needed_items(each) is not None for each in pairs) else []
    sentences += [UNJUDGED_MEANING] if has_unjudged(pairs) else []
    return join([*parts, note(" ".join(sentences))])


_TOGETHER = "“all together” has the items of all test sets."
_NEEDED = "“items needed” is about how many items would show the difference that was found."


def _legend() -> Html:
    kinds = (("win", "win"), ("tie", "tie"), ("lose", "lose"))
    return tag("ul", *(tag("li", Html(_SIGN.format(kind)), " ", word) for kind, word in kinds), class_="legend")


def _table(evaluation: EvaluationResult, pairs: Sequence[PairResult], scale: Scale) -> Html:
    """Return a line for each test set under the names of its pair."""
    lines = pairs[:_MOST_LINES]
    rows = [_row(evaluation, each, scale) for each in lines]
    left_out = {"unjudged"} if not has_unjudged(pairs) else set()
    left_out |= {"items needed"} if all(row["items needed"] == "" for row in rows) else set()
    heads = [head for head in rows[0] if head not in left_out]
    titles = (
        tag("th", axis(scale) if head == _AXIS else head, scope="col", class_="word" if head in _WORDS else None)
        for head in heads
    )
    bodies: list[Html] = []
    for _, group in groupby(zip(lines, rows, strict=True), key=lambda each: key(each[0])):
        found = list(group)
        title = tag("tr", tag("th", *_who(found[0][0]), class_="word", colspan=len(heads), scope="rowgroup"))
        bodies.append(tag("tbody", title, *(_line(row, heads) for _, row in found)))
    shown = tag("table", tag("thead", tag("tr", *titles)), *bodies)
    more = len(pairs) - len(rows)
    rest = note(f"… and {count(more)} more lines.") if more > 0 else NOTHING
    scrolled = scrolling(shown, "Wins, ties and losses", rows=len(rows) if len(rows) > _MOST_OPEN else 0)
    return join([tag("div", scrolled, class_="pairs"), rest])


def _who(pair: PairResult) -> list[Child]:
    return [named(name(pair.a)), " against ", named(name(pair.b))]


def _row(evaluation: EvaluationResult, pair: PairResult, scale: Scale) -> dict[str, Child]:
    about = needed_items(pair)
    return {
        "test set": tag("em", tested(pair)) if pair.test_set is None else tested(pair),
        "items": count(pair.n),
        "": stacked_bar(pair.win, pair.tie, pair.lose),
        "win / tie / lose": f"{pair.win:,} / {pair.tie:,} / {pair.lose:,}",
        "winning score, 95% interval": join([tag("strong", score(pair.winning_score)), _within(pair)]),
        _AXIS: _drawn(scale, pair),
        "finding": _shown(evaluation, pair),
        "items needed": "" if about is None else f"≈ {about:,}",
        "p": p_value(pair.p_value),
        "unjudged": count(pair.unjudged),
    }


def _line(row: dict[str, Child], heads: Sequence[str]) -> Html:
    first, *others = heads
    cells = (tag("td", row[head], class_="word" if head in _WORDS else None) for head in others)
    return tag("tr", tag("th", row[first], scope="row", class_="word"), *cells)


_AXIS = "axis"
"""The column of drawn intervals; its head is the scale."""

_WORDS = ("test set", "", _AXIS, "finding")


def _within(pair: PairResult) -> str:
    return "" if pair.interval is None else f" ({interval(pair.interval)})"


def _drawn(scale: Scale, pair: PairResult) -> Child:
    if pair.winning_score is None:
        return ""
    label = f"{names(pair)}, {tested(pair)}: {score(pair.winning_score)}, 95% interval {interval(pair.interval)}"
    return interval_drawing(scale, pair.winning_score, pair.interval, label=label, strong=pair.shown != "not shown")


def _rules(evaluation: EvaluationResult, pairs: Sequence[PairResult]) -> Html:
    """Return the verdicts by each rule, folded."""
    rules = rule_names(evaluation)
    if len(rules) < 2:
        return NOTHING
    others = other_rules(evaluation)
    rows: list[dict[str, Child]] = []
    for each in pairs[:_MOST_LINES]:
        beside = {evaluation.rule: each, **others.get((*key(each), each.test_set), {})}
        row: dict[str, Child] = {"pair": names(each), "test set": tested(each)}
        rows.append({**row, **dict(_by_rules(beside, rules))})
    shown = records(rows, words=("pair", "test set"), label="Verdicts by each rule")
    meaning = "Winning score and its interval, then wins, ties and losses. The first rule is the recipe's."
    return folded(f"by the rules {', '.join(rules)}", note(meaning), shown)


def _by_rules(found: dict[str, PairResult], rules: Sequence[str]) -> Iterator[tuple[str, Child]]:
    for rule in rules:
        pair = found.get(rule)
        if pair is None or pair.winning_score is None:
            yield rule, "–"
            continue
        counts = f"{pair.win:,} / {pair.tie:,} / {pair.lose:,}"
        yield rule, join([tag("strong", score(pair.winning_score)), f" ({interval(pair.interval)}) · {counts}"])
