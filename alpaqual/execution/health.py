"""Whether a grader has drifted: what was measured of it, held against the limits that the recipe sets.

Each check is {check, value, warn, fail, state, text}: `value` is a share or a coefficient, None where it is not defined;
`warn` and `fail` are the limits in words, None where there is none; `text` says what was found. Without limits a check
passes; with one, what cannot be measured warns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alpaqual.execution.dataset_results import Facts
from alpaqual.execution.limits import rate, share_beyond
from alpaqual.plan.assessing import FEW, assesses
from alpaqual.plan.grading import BINS
from alpaqual.recipe.graders import Agreement, Grader, HighLimits, LowLimits, ShareLimits
from alpaqual.recipe.scales import common_steps, exact
from alpaqual.values import State

Check = dict[str, Any]
Limits = ShareLimits | HighLimits | LowLimits | None


def health_checks(name: str, graders: Mapping[str, Grader], found: Mapping[str, Any], facts: Facts) -> list[Check]:
    """The checks of one grader; none of a grader that asks no model and has no `health` in the recipe.

    `found` is what results say of its scores, `facts` what its stages left (see `alpaqual.plan.assessing`, and `repeats`
    and `golden` of its replies); a check whose stage was not done is left out.
    """
    grader = graders[name]
    if not assesses(grader):
        return []
    checks = [_most_frequent(grader, found)]
    if "length" in facts:
        checks.append(_length(grader, facts["length"][0]))
    agreement = grader.health.agreement
    if agreement is not None and "agreement" in facts:
        checks += _agreement(grader, agreement, graders[agreement.with_], facts)
    replies = facts["replies"][0] if "replies" in facts else {}
    if grader.health.repeats is not None:
        checks.append(_repeats(grader.health.repeats, replies.get("repeats")))
    if grader.health.golden is not None:
        checks.append(_golden(grader.health.golden, grader.health.golden.within, replies.get("golden")))
    return checks


def agreement_result(grader: Grader, facts: Facts) -> dict[str, Any] | None:
    """How the scores agree with another grader's, for `results.json`: None where nobody asked.

    `rows` were scored by both; `this_only` and `other_only` by one of them; `confusion` counts rows by both scores.
    """
    if grader.health.agreement is None or "agreement" not in facts:
        return None
    both, one = facts["agreement"][0], facts["one_scored"][0]
    return {
        "with": grader.health.agreement.with_,
        "rows": both["rows"],
        "this_only": one["this_only"],
        "other_only": one["other_only"],
        "spearman": both["spearman"],
        "kappa": facts["kappa"][0]["kappa"] if "kappa" in facts else None,
        "confusion": [{key: cell[key] for key in ("score", "other", "rows")} for cell in facts.get("confusion", ())],
    }


def cascade_result(grader: Grader, found: Mapping[str, Any], facts: Facts) -> dict[str, Any] | None:
    """What a cascade did, for `results.json`: None where the grader has none.

    `saved_calls` are the rows that would have been asked about without it; `saved_usd` is that many times the mean cost of the
    calls made and reused, None where none of them had a price.
    """
    if grader.cascade is None:
        return None
    taken_over: int = found["taken_over"]
    saved = facts["spared"][0]["rows"] if "spared" in facts else taken_over
    calls, paid = found["calls_made"] + found["calls_reused"], found["cost_usd"] + found["bought_usd"]
    return {
        "first": grader.cascade.first,
        "asked": found["rows"] - taken_over,
        "taken_over": taken_over,
        "saved_calls": saved,
        "saved_usd": round(saved * paid / calls, 6) if calls and paid else None,
    }


def _most_frequent(grader: Grader, found: Mapping[str, Any]) -> Check:
    limits = grader.health.most_frequent
    if not found["scored"]:
        return _unmeasured("most_frequent", limits, "no row is scored")
    bar = min(found["histogram"], key=lambda bar: (-bar["rows"], bar["score"]))
    scale, score, rows = grader.scale_of_thresholds, bar["score"], bar["rows"]
    given = f"the most frequent score is {score:g}"
    if scale.step is None:
        width = (scale.max - scale.min) / BINS
        given = f"the most frequent scores lie in the bin from {score:g} to {score + width:g} (one of {BINS})"
    return _share(
        "most_frequent", limits, rows, found["scored"], f"{given}: {_of(rows, found['scored'], 'scored rows')}"
    )


def _length(grader: Grader, facts: Mapping[str, Any]) -> Check:
    limits, rho, rows = grader.health.length, facts["spearman"], facts["rows"]
    if rho is None:
        return _unmeasured("length", limits, _undefined(rows, "all scores or all lengths are the same"))
    text = f"Spearman's rank correlation of score and response length is {rho:+.2f} over {rows:,} rows"
    return _coefficient("length", limits, rho, text, _stronger)


def _agreement(grader: Grader, agreement: Agreement, other: Grader, facts: Facts) -> list[Check]:
    rows, rho = facts["agreement"][0]["rows"], facts["agreement"][0]["spearman"]
    kappa = facts["kappa"][0]["kappa"] if "kappa" in facts else None
    ranks, steps, told = "agreement.spearman", "agreement.kappa", f"over {rows:,} rows that both scored"
    if grader.cascade is not None and grader.cascade.first == agreement.with_:
        told += ", those taken over left out"
    if rho is None:
        first = _unmeasured(ranks, agreement.spearman, _undefined(rows, "one of the graders gives all rows one score"))
    else:
        text = f"Spearman's rank correlation with {agreement.with_} is {rho:.2f} {told}"
        first = _coefficient(ranks, agreement.spearman, rho, text, _lower)
    if common_steps(grader, other) is None:
        why = f"{agreement.with_} has another scale, or scores lie between the steps"
        return [first, _unmeasured(steps, agreement.kappa, why)]
    if kappa is None:
        why = _undefined(rows, "both graders give all rows one and the same score")
        return [first, _unmeasured(steps, agreement.kappa, why)]
    text = f"quadratic weighted kappa with {agreement.with_} is {kappa:.2f} {told}"
    return [first, _coefficient(steps, agreement.kappa, kappa, text, _lower)]


def _repeats(limits: ShareLimits, facts: Mapping[str, Any] | None) -> Check:
    if facts is None:
        return _unmeasured("repeats", limits, "no row was asked about twice")
    compared, different = facts["compared"], facts["different"]
    if not compared:
        return _unmeasured("repeats", limits, f"none of {_rows(facts['rows'])} got a score both times")
    text = f"{_of(different, compared, 'rows')} got another score when the same question was asked again"
    if facts["rows"] > compared:
        text += f"; {_rows(facts['rows'] - compared)} got no score at least once"
    return _share("repeats", limits, different, compared, text)


def _golden(limits: ShareLimits, within: float, facts: Mapping[str, Any] | None) -> Check:
    if facts is None:
        return _unmeasured("golden", limits, "the rows with known scores were not asked about")
    rows, wrong, unscored = facts["rows"], facts["wrong"], facts["rows"] - facts["scored"]
    if not rows:
        return _unmeasured("golden", limits, "there are no rows with known scores")
    text = f"{_of(wrong, rows, 'rows with known scores')} are scored more than {within:g} off"
    text += f" or not at all ({unscored:,})" if unscored else ""
    text += "" if facts["mean_error"] is None else f"; the mean error is {facts['mean_error']:.2f}"
    return _share("golden", limits, wrong, rows, text)


def _share(check: str, limits: ShareLimits | None, part: int, whole: int, text: str) -> Check:
    return _check(check, limits, rate(part, whole), text, lambda limit: share_beyond(part, whole, limit))


def _coefficient(
    check: str, limits: Limits, value: float, text: str, passes: Callable[[float, float | str], bool]
) -> Check:
    return _check(check, limits, value, text, lambda limit: passes(value, limit))


def _check(
    check: str, limits: Limits, value: float | None, text: str, passes: Callable[[float | str], bool] | None
) -> Check:
    """A check; `passes` tells whether the value passes a limit, None where there is no value."""
    state, words = State.PASS, dict[str, str | None](warn=None, fail=None)
    for kind in words:
        limit = None if limits is None else getattr(limits, kind)
        if limit is None:
            continue
        words[kind] = _words(limits, limit)
        if passes is None:
            state = State.WARN
        elif passes(limit):
            state = State(kind)
    # Without its sign a zero is the same text everywhere.
    shown = None if value is None else value + 0.0
    return {"check": check, "value": shown, **words, "state": state, "text": text}


def _unmeasured(check: str, limits: Limits, why: str) -> Check:
    return _check(check, limits, None, f"cannot be measured: {why}", None)


def _words(limits: Limits, limit: float | str) -> str:
    """A limit in words."""
    if isinstance(limits, ShareLimits):
        return f"above {limit}" if isinstance(limit, str) else f"above {float(exact(limit) * 100):g}%"
    if isinstance(limits, LowLimits):
        return f"below {limit:g}"
    return f"beyond ±{limit:g}"


def _stronger(value: float, limit: float | str) -> bool:
    return exact(abs(value)) > exact(float(limit))


def _lower(value: float, limit: float | str) -> bool:
    return exact(value) < exact(float(limit))


def _undefined(rows: int, why: str) -> str:
    return f"{_rows(rows)}, and it takes {FEW}" if rows < FEW else why


def _of(part: int, whole: int, what: str) -> str:
    return f"{part:,} of {whole:,} {what} ({part / whole * 100:.1f}%)"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
