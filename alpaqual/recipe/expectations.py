"""Expectations of a recipe: bounds on the numbers of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from alpaqual.types import Name, Percent, StrictStruct


class Bounds(StrictStruct, frozen=True, kw_only=True):
    """From `min` to `max`, both inclusive."""

    min: Annotated[float | Percent | None, Meta(description="At least this.")] = None
    max: Annotated[float | Percent | None, Meta(description="At most this.")] = None


class Expectation(StrictStruct, frozen=True, kw_only=True):
    """Bounds on a number of the run, checked at its end."""

    dataset: Annotated[Name | None, Meta(description="Dataset to check: rows, keep_rate, share.")] = None
    category: Annotated[str | None, Meta(description="Category to check, in the dataset or in the sources.")] = None
    grader: Annotated[Name | None, Meta(description="Grader to check: scored, unscored.")] = None
    rule: Annotated[Name | None, Meta(description="Rule to check: failing_rows.")] = None
    pair: Annotated[
        Annotated[list[str], Meta(min_length=2, max_length=2)] | None,
        Meta(description="Pair of models of the evaluation: winning_score, interval_above, unjudged."),
    ] = None
    judge: Annotated[
        Name | None,
        Meta(description="Judge of the evaluation: order_kappa; or the one whose verdicts on a pair count."),
    ] = None
    test_set: Annotated[
        Name | None, Meta(description="Test set of the pair's verdicts; left out, all of them together.")
    ] = None
    rows: Annotated[Bounds | None, Meta(description="Number of rows of the dataset, category or sources.")] = None
    keep_rate: Annotated[Bounds | None, Meta(description="Share of rows kept, after the rules removed theirs.")] = None
    share: Annotated[Bounds | None, Meta(description="The category's share of the dataset's rows.")] = None
    scored: Annotated[Bounds | None, Meta(description="Rows with a score: a count or a percentage.")] = None
    unscored: Annotated[Bounds | None, Meta(description="Rows without a score: a count or a percentage.")] = None
    failing_rows: Annotated[Bounds | None, Meta(description="Rows that fail the rule: a count or a percentage.")] = None
    quarantined: Annotated[Bounds | None, Meta(description="Rows of the sources that could not be read.")] = None
    winning_score: Annotated[
        Bounds | None, Meta(description="(wins - losses) / n + 1 of the first model of the pair; 1 is as good.")
    ] = None
    interval_above: Annotated[
        float | None, Meta(description="The 95% interval of the winning score is above this number.")
    ] = None
    unjudged: Annotated[Bounds | None, Meta(description="Items of the pair without a verdict.")] = None
    order_kappa: Annotated[
        Bounds | None, Meta(description="Agreement (kappa) of the judge between both orders of a pair.")
    ] = None
    level: Annotated[
        Literal["fail", "warn"], Meta(description="Whether an unmet expectation fails the run or warns.")
    ] = "fail"
