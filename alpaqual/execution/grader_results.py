"""Counts the scores of a grader and what they cost, and finds what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from alpaqual.amounts import counted_rows
from alpaqual.execution.calibration_results import calibration_warnings
from alpaqual.execution.health import agreement_result, cascade_result, golden_result, health_checks
from alpaqual.plan.facts import GraderFacts, ReplyFacts
from alpaqual.plan.grading import NO_ROW, NOT_A_NUMBER, OUT_OF_SCALE
from alpaqual.recipe.graders import Grader, Health
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.score_names import ScoreOf, health_path, path_of, scores_of
from alpaqual.registry import find
from alpaqual.results.datasets import ScoreCount
from alpaqual.results.graders import GraderResult, HealthCheck, SamplesResult, ScoreScale
from alpaqual.results.results import Reason
from alpaqual.values import State

LOST_SHARE = 0.05
"""A column or table warns from this share of scores that are of no use."""
_NO_REPLIES = ReplyFacts(
    calls_made=0,
    calls_reused=0,
    input_tokens=0,
    output_tokens=0,
    cost_usd=0.0,
    bought_usd=0.0,
    faults=0,
    seconds=0.0,
    models=(),
    again=0,
    again_digest="",
)
"""Of a grader that uses no model."""


def grader_result(name: str, graders: Mapping[str, Grader], facts: GraderFacts) -> GraderResult:
    """Return what a run found of a grader."""
    grader = graders[name]
    replies = _with_price(grader, facts.replies or _NO_REPLIES)
    unscored = {row.reason: row.rows for row in facts.grades.reasons}
    histogram = [ScoreCount(score=row.score, rows=row.rows) for row in facts.grades.scores]
    scored = sum(bar.rows for bar in histogram) + sum(found.rows for found in facts.grades.complete)
    rows = scored + sum(unscored.values())
    made, reused = replies.calls_made, replies.calls_reused
    cost, bought = replies.cost_usd, replies.bought_usd
    return GraderResult(
        dimension=grader.dimension,
        source=_source_of(grader),
        models=list(replies.models),
        scale=ScoreScale(
            min=grader.scale.min,
            max=grader.scale.max,
            step=None if grader.scale_of_thresholds.step is None else grader.scale.step,
        ),
        rows=rows,
        scored=scored,
        unscored=sum(unscored.values()),
        unscored_reasons=unscored,
        calls_made=made,
        calls_reused=reused,
        input_tokens=replies.input_tokens,
        output_tokens=replies.output_tokens,
        cost_usd=cost,
        bought_usd=bought,
        lost_usd=replies.lost_usd,
        priced=replies.priced,
        cache_read_tokens=replies.cache_read_tokens,
        cache_write_tokens=replies.cache_write_tokens,
        cache_saved_usd=replies.cache_saved_usd,
        calls_per_second=_calls_per_second(replies),
        taken_over=facts.taken_over,
        histogram=histogram,
        health=health_checks(name, graders, histogram, facts),
        agreement=agreement_result(grader, facts),
        golden=golden_result(grader, facts.golden),
        cascade=cascade_result(grader, rows, made + reused, cost + bought, facts),
        samples=_samples(grader, facts),
    )


def _samples(grader: Grader, facts: GraderFacts) -> SamplesResult | None:
    """Return how far the samples of a row are apart; None where a row is asked about once."""
    if not facts.grades.spread:
        return None
    found = facts.grades.spread[0]
    return SamplesResult(
        samples=grader.samples,
        rows=found.rows,
        differing=found.differing,
        mean_spread=found.mean,
        largest_spread=found.largest,
    )


def grader_reasons(name: str, recipe: Recipe, found: GraderResult, facts: GraderFacts) -> Iterator[Reason]:
    """Yield what is wrong with a grader: rows without a score, answers of another model, limits that are exceeded."""
    grader, place = recipe.graders[name], recipe.place(path_of(name, recipe.graders))
    yield from (Reason(state=state, text=text, place=place) for state, text in _unscored(name, recipe, found, facts))
    others = [model for model in found.models if grader.live and not _same_model(str(grader.model), model)]
    if others:
        text = f"grader {name}: {grader.model} was requested, and {', '.join(others)} answered"
        yield Reason(state=State.WARN, text=text, place=place)
    for setting in facts.replies.unsent if facts.replies else ():
        text = f"grader {name}: {grader.model} refuses a {setting}, and none was sent; write '{setting}: null'"
        yield Reason(state=State.WARN, text=text, place=place)
    if found.calibration is not None:
        place = recipe.place(("graders", name, "calibrate"))
        texts = calibration_warnings(name, found.calibration)
        yield from (Reason(state=State.WARN, text=text, place=place) for text in texts)
    for check in found.health:
        yield _health_reason(name, recipe, check)


def _unscored(name: str, recipe: Recipe, found: GraderResult, facts: GraderFacts) -> Iterator[tuple[State, str]]:
    """Yield what is wrong with the rows that have no score; of several scores at once, the grader that asked for them says it."""
    grader = recipe.graders[name]
    if isinstance(grader, ScoreOf):
        return
    named = (name, *scores_of(name, recipe.graders))
    expected = any(each.grader in named and (each.unscored or each.scored) for each in recipe.text.expect)
    if again := facts.replies.again if facts.replies else 0:
        # Without an expectation that says how many rows may be unscored, no dataset is selected from part of the scores.
        state = State.WARN if expected else State.ERROR
        reasons = ", ".join(f"{reason}: {rows:,}" for reason, rows in found.unscored_reasons.items())
        items = "samples" if grader.samples > 1 else "turns"
        what = counted_rows(again) if grader.each is None and grader.samples == 1 else f"{again:,} {items}"
        yield state, f"grader {name}: {what} got no answer ({reasons}); run again to grade them"
    elif found.unscored and grader.live and not expected:
        yield State.WARN, f"grader {name}: {counted_rows(found.unscored)} of {found.rows:,} got no score"
    if cut := found.unscored_reasons.get("cut"):
        yield State.WARN, f"grader {name}: {cut:,} replies were cut by their length before the score; raise max_tokens"
    if lost := _lost(grader, found, facts):
        yield State.WARN, f"grader {name}: {lost}"
    if found.rows and found.unscored_reasons.get("no recorded reply") == found.rows:
        text = f"grader {name}: none of {counted_rows(found.rows)} has a recorded reply"
        yield State.FAIL, f"{text}; prompt and parameters must be those of the recording"


def _lost(grader: Grader, found: GraderResult, facts: GraderFacts) -> str:
    """Return that many scores of a column or table are of no use, with the counts; empty where they are few."""
    if grader.column is None and grader.table is None:
        return ""
    useless = dict.fromkeys((NO_ROW, OUT_OF_SCALE, NOT_A_NUMBER), 0)
    examples = [reason for reason in found.unscored_reasons if reason.startswith(f"{NOT_A_NUMBER}: ")]
    if grader.table is not None:
        counted = {each.reason: each.rows for each in facts.grades.table_scores}
        scores, useless = sum(counted.values()), {reason: counted.get(reason, 0) for reason in useless}
    else:
        useless[OUT_OF_SCALE] = found.unscored_reasons.get(OUT_OF_SCALE, 0)
        useless[NOT_A_NUMBER] = sum(
            rows for reason, rows in found.unscored_reasons.items() if reason.partition(":")[0] == NOT_A_NUMBER
        )
        scores = found.scored + sum(useless.values())
    lost = sum(useless.values())
    if not lost or lost < LOST_SHARE * scores:
        return ""
    parts = ", ".join(f"{rows:,} {reason}" for reason, rows in useless.items() if rows)
    such = f" (such as {examples[0].partition(': ')[2]})" if examples else ""
    return f"{lost:,} of {scores:,} scores in the {_source_of(grader)} are of no use: {parts}{such}"


def _health_reason(name: str, recipe: Recipe, check: HealthCheck) -> Reason:
    limit = check.fail if check.state is State.FAIL else check.warn or check.fail
    found = check.text if check.value is not None else f"{check.check} {check.text}"
    key, *rest = check.check.split(".")
    limited = key in Health.__struct_fields__
    path = (*health_path(name, key, recipe.graders), *rest) if limited else path_of(name, recipe.graders)
    place = recipe.place(path)
    return Reason(state=check.state, text=f"grader {name}: {found} (limit: {limit})", place=place)


def _source_of(grader: Grader) -> str:
    """Return where a grader's scores come from, in words."""
    if grader.of is not None:
        return f"{grader.combine} of {', '.join(grader.of)}"
    if isinstance(grader, ScoreOf):
        return f"{_source_of(grader.asking)}, one of {len(grader.asking.scores or ())} scores"
    if grader.expression is not None:
        return str(grader.kind_plugin.TITLE)
    if grader.model is not None:
        return grader.model if grader.of_turns is None else f"{grader.model}, {grader.of_turns} of the turns"
    return f"column {grader.column}" if grader.column else f"table {grader.table}"


def _with_price(grader: Grader, replies: ReplyFacts) -> ReplyFacts:
    """Return calls that were made while no price was known, at the price that the recipe has now."""
    price = grader.price
    if replies.priced or price is None:
        return replies
    usd = (replies.input_tokens * price.input + replies.output_tokens * price.output) / 1e6
    return msgspec.structs.replace(replies, priced=True, bought_usd=round(usd, 8))


def _calls_per_second(replies: ReplyFacts) -> float:
    """Return the calls a second while requests were sent; 0 where none was made."""
    made, seconds = replies.calls_made, replies.seconds
    return round(made / seconds, 1) if made and seconds else 0.0


def _same_model(requested: str, answered: str) -> bool:
    """Return whether the model that answered is the one requested, or a dated version of it."""
    if find("llm", requested.partition("/")[0]).LOCAL:
        return True
    return answered == requested or answered.startswith((f"{requested}-20", f"{requested}@"))
