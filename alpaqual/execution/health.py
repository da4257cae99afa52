"""Checks whether a grader has drifted: what was measured of it, compared with the limits of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from alpaqual.amounts import counted_rows, exact, rate
from alpaqual.execution.limits import share_beyond
from alpaqual.plan.assessing import assesses
from alpaqual.plan.coefficients import FEW
from alpaqual.plan.facts import AssessFacts, Correlation, GoldenFacts, GraderFacts, RepeatFacts
from alpaqual.plan.grading import BINS
from alpaqual.recipe.graders import Agreement, Grader, HighLimits, LowLimits, ShareLimits
from alpaqual.recipe.scales import common_steps
from alpaqual.results.datasets import ScoreCount
from alpaqual.results.graders import (
    AgreementResult,
    CascadeResult,
    ConfusionCell,
    GoldenResult,
    HealthCheck,
    LevelResult,
)
from alpaqual.values import State

MIN_STEPPED = 20
"""Fewest scored rows that show which steps of a scale are used: of 20 rows, chance seldom leaves all steps between out."""
COARSE_SHARE = 0.98
"""Share of scores on coarser steps from which the run warns."""
Limits = ShareLimits | HighLimits | LowLimits | None


def health_checks(
    name: str, graders: Mapping[str, Grader], histogram: Sequence[ScoreCount], facts: GraderFacts
) -> list[HealthCheck]:
    """Return the checks of one grader; none for a grader that uses no model and has no `health` in the recipe.

    `histogram` counts its scores. A check whose stage did not run is left out.
    """
    grader = graders[name]
    if not assesses(grader):
        return []
    assessed = facts.assessed
    if grader.scores:
        return list(_template_tokens(assessed))
    checks = [_most_frequent(grader, histogram), *_steps(grader, histogram)]
    if assessed is not None:
        checks += [_length(grader, assessed.length[0]), *_template_tokens(assessed)]
    agreement = grader.health.agreement
    if agreement is not None and assessed is not None and assessed.agreement:
        checks += _agreement(grader, agreement, graders[agreement.with_], assessed.agreement[0], facts.kappa)
    if grader.health.repeats is not None:
        checks.append(_repeats(grader.health.repeats, facts.repeats))
    if grader.health.golden is not None:
        checks.append(_golden(grader.health.golden, grader.health.golden.within, facts.golden))
    return checks


def agreement_result(grader: Grader, facts: GraderFacts) -> AgreementResult | None:
    """Return how the scores agree with another grader's; None where the recipe compares them with none."""
    assessed: AssessFacts | None = facts.assessed
    if grader.health.agreement is None or assessed is None or not assessed.agreement:
        return None
    both, one = assessed.agreement[0], assessed.one_scored[0]
    return AgreementResult(
        with_=grader.health.agreement.with_,
        rows=both.rows,
        this_only=one.this_only,
        other_only=one.other_only,
        spearman=both.spearman,
        kappa=facts.kappa,
        confusion=[ConfusionCell(score=cell.score, other=cell.other, rows=cell.rows) for cell in assessed.confusion],
    )


def golden_result(grader: Grader, facts: GoldenFacts | None) -> GoldenResult | None:
    """Return how the scores agree with people's; None where no golden row was graded."""
    golden = grader.health.golden
    if golden is None or facts is None or not facts.rows:
        return None
    return GoldenResult(
        file=golden.file,
        within=golden.within,
        rows=facts.rows,
        scored=facts.scored,
        left_out=facts.left_out,
        wrong=facts.wrong,
        mean_error=facts.mean_error,
        bias=facts.bias,
        spearman=facts.spearman,
        kappa=facts.kappa,
        levels=[msgspec.convert(level, LevelResult, from_attributes=True) for level in facts.levels],
        confusion=[ConfusionCell(score=cell.score, other=cell.known, rows=cell.rows) for cell in facts.confusion],
    )


def cascade_result(grader: Grader, rows: int, calls: int, usd: float, facts: GraderFacts) -> CascadeResult | None:
    """Return what a cascade saved; None where the grader has none.

    `rows` are the grader's, `calls` were made or reused, and `usd` is what those cost when first bought. A cascade saves a call
    for each sample of each row that would have gone to the model without it.
    """
    if grader.cascade is None:
        return None
    taken_over = facts.taken_over
    spared = facts.assessed.spared[0].rows if facts.assessed is not None and facts.assessed.spared else taken_over
    saved = spared * grader.samples
    return CascadeResult(
        first=grader.cascade.first,
        asked=rows - taken_over,
        taken_over=taken_over,
        saved_calls=saved,
        saved_usd=round(saved * usd / calls, 6) if calls and usd else None,
    )


def _most_frequent(grader: Grader, histogram: Sequence[ScoreCount]) -> HealthCheck:
    limits, scored = grader.health.most_frequent, sum(bar.rows for bar in histogram)
    if not scored:
        return _unmeasured("most_frequent", limits, "no row is scored")
    bar = min(histogram, key=lambda bar: (-bar.rows, bar.score))
    scale = grader.scale_of_thresholds
    given = f"the most frequent score is {bar.score:g}"
    if scale.step is None:
        width = (scale.max - scale.min) / BINS
        given = f"the most frequent scores are in the bin from {bar.score:g} to {bar.score + width:g} (one of {BINS})"
    text = f"{given}: {_of(bar.rows, scored, 'scored rows')}"
    return _share("most_frequent", limits, bar.rows, scored, text)


def _template_tokens(facts: AssessFacts | None) -> Iterator[HealthCheck]:
    """The rows that hold a chat template's own tokens; nothing where there are none."""
    rows = facts.template_tokens[0].rows if facts is not None and facts.template_tokens else 0
    if rows:
        text = (
            f"{counted_rows(rows)} {'holds' if rows == 1 else 'hold'} a chat template's own tokens, such as <|im_start|> or [INST], "
            "which a model may take for turns; 'rules: [chat_templates]' lists them"
        )
        yield HealthCheck(
            check="template_tokens", value=rows, warn="above 0 rows", fail=None, state=State.WARN, text=text
        )


def _steps(grader: Grader, histogram: Sequence[ScoreCount]) -> Iterator[HealthCheck]:
    """Scores on coarser steps than the scale has; nothing where the scale is used, or has no steps."""
    step, scored = grader.scale_of_thresholds.step, sum(bar.rows for bar in histogram)
    if step is None or scored < MIN_STEPPED or grader.of is not None:
        return
    low = exact(grader.scale.min)
    rows = {(exact(bar.score) - low) / exact(step): bar.rows for bar in histogram}
    for factor in range(int((exact(grader.scale.max) - low) / exact(step)), 1, -1):
        on = {index: count for index, count in rows.items() if index % factor == 0}
        share = rate(sum(on.values()), scored)
        if share >= COARSE_SHARE and len(on) > 1:
            text = (
                f"{_of(sum(on.values()), scored, 'scores')} are {factor * step:g} apart, and the scale has steps of {step:g}: a "
                "threshold between them keeps the same rows as the next one above"
            )
            yield HealthCheck(
                check="steps", value=share, warn=f"from {COARSE_SHARE:.0%}", fail=None, state=State.WARN, text=text
            )
            return


def _length(grader: Grader, facts: Correlation) -> HealthCheck:
    limits, rho, rows = grader.health.length, facts.spearman, facts.rows
    if rho is None:
        return _unmeasured("length", limits, _undefined(rows, "all scores or all lengths are the same"))
    text = f"Spearman's rank correlation of score and response length is {rho:+.2f} over {rows:,} rows"
    return _coefficient("length", limits, rho, text, _stronger)


def _agreement(
    grader: Grader, agreement: Agreement, other: Grader, both: Correlation, kappa: float | None
) -> list[HealthCheck]:
    rows, rho = both.rows, both.spearman
    ranks, steps, basis = "agreement.spearman", "agreement.kappa", f"over {rows:,} rows that both scored"
    if grader.cascade is not None and grader.cascade.first == agreement.with_:
        basis += ", without those that the cascade took over"
    if rho is None:
        first = _unmeasured(ranks, agreement.spearman, _undefined(rows, "one of the graders gives all rows one score"))
    else:
        text = f"Spearman's rank correlation with {agreement.with_} is {rho:.2f} {basis}"
        first = _coefficient(ranks, agreement.spearman, rho, text, _lower)
    if common_steps(grader, other) is None:
        why = f"{agreement.with_} has another scale, or scores are between the steps"
        return [first, _unmeasured(steps, agreement.kappa, why)]
    if kappa is None:
        why = _undefined(rows, "both graders give all rows the same score")
        return [first, _unmeasured(steps, agreement.kappa, why)]
    text = f"quadratic weighted kappa with {agreement.with_} is {kappa:.2f} {basis}"
    return [first, _coefficient(steps, agreement.kappa, kappa, text, _lower)]


def _repeats(limits: ShareLimits, facts: RepeatFacts | None) -> HealthCheck:
    if facts is None:
        return _unmeasured("repeats", limits, "no row was graded twice")
    compared, different = facts.compared, facts.different
    if not compared:
        return _unmeasured("repeats", limits, f"none of {counted_rows(facts.rows)} got a score both times")
    text = f"{_of(different, compared, 'rows')} got a different score the second time"
    if facts.rows > compared:
        text += f"; {counted_rows(facts.rows - compared)} got no score at least once"
    return _share("repeats", limits, different, compared, text)


def _golden(limits: ShareLimits, within: float, facts: GoldenFacts | None) -> HealthCheck:
    if facts is None:
        return _unmeasured("golden", limits, "the rows with known scores were not graded")
    rows, wrong, unscored = facts.rows, facts.wrong, facts.rows - facts.scored
    if not rows:
        why = "no row with a known score is in the data" if facts.left_out else "there are no rows with known scores"
        return _unmeasured("golden", limits, why)
    text = f"{_of(wrong, rows, 'rows with known scores')} have a score more than {within:g} off"
    text += f" or no score ({unscored:,})" if unscored else ""
    text += "" if facts.mean_error is None else f"; the mean error is {facts.mean_error:.2f}"
    text += f"; not in the data: {counted_rows(facts.left_out)}" if facts.left_out else ""
    return _share("golden", limits, wrong, rows, text)


def _share(check: str, limits: ShareLimits | None, part: int, whole: int, text: str) -> HealthCheck:
    return _check(check, limits, rate(part, whole), text, lambda limit: share_beyond(part, whole, limit))


def _coefficient(
    check: str, limits: Limits, value: float, text: str, beyond: Callable[[float, float | str], bool]
) -> HealthCheck:
    return _check(check, limits, value, text, lambda limit: beyond(value, limit))


def _check(
    check: str, limits: Limits, value: float | None, text: str, beyond: Callable[[float | str], bool] | None
) -> HealthCheck:
    """Compare a value with the limits: `beyond` says whether it is beyond one; None where there is no value."""
    state, words = State.PASS, dict[str, str | None](warn=None, fail=None)
    for kind in words:
        limit = None if limits is None else getattr(limits, kind)
        if limit is None:
            continue
        words[kind] = _words(limits, limit)
        if beyond is None:
            state = State.WARN
        elif beyond(limit):
            state = State(kind)
    # -0.0 becomes 0.0, so that the text is the same on every machine.
    shown = None if value is None else value + 0.0
    return HealthCheck(check=check, value=shown, **words, state=state, text=text)


def _unmeasured(check: str, limits: Limits, why: str) -> HealthCheck:
    return _check(check, limits, None, f"cannot be measured: {why}", None)


def _words(limits: Limits, limit: float | str) -> str:
    """Return a limit in words."""
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
    return f"{counted_rows(rows)}, at least {FEW} are needed" if rows < FEW else why


def _of(part: int, whole: int, what: str) -> str:
    return f"{part:,} of {whole:,} {what} ({part / whole * 100:.1f}%)"
