"""What two graders make of the same rows."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from alpaqual.results.graders import ScoreScale
from alpaqual.results.record import Amount, Count, Number, Record, Share


class ComparedGrader(Record, frozen=True, kw_only=True):
    """One of the two: where its scores come from, and what it makes of the rows that both scored.

    `mean` is on its own scale. `threshold` is null where none is known, and `threshold_from` says where it is from; `keeps` are the
    rows at or above it. `calls` were made or reused; `cost_usd` is what they cost when they were new.
    """

    run: str
    grader: str
    source: str
    scale: ScoreScale
    calibrated: bool
    mean: Number | None
    scored_alone: Count
    threshold: Number | None
    threshold_from: str | None
    keeps: Count | None
    calls: Count
    cost_usd: Amount


class ComparedBar(Record, frozen=True, kw_only=True):
    """Rows whose score is in one part of the scale, by each grader; `share` is the part's middle, from 0 (lowest) to 1."""

    share: Share
    first: Count
    second: Count


class ChangedRow(Record, frozen=True, kw_only=True):
    """A row that one grader's threshold keeps and the other's does not; `own_id` is the data's own id as text."""

    id: str
    own_id: str | None
    first: Number
    second: Number
    instruction: str | None
    response: str | None


class Sides(Record, frozen=True, kw_only=True):
    """Rows by the thresholds of both; `rows` are some of those that only one keeps, those that are furthest apart first."""

    both: Count
    neither: Count
    only_first: Count
    only_second: Count
    rows: list[ChangedRow]


class GraderComparison(Record, frozen=True, kw_only=True):
    """How two graders agree on the rows that both scored.

    Scores are compared by their share of the scale: 0 is the lowest, 1 the highest. `mean_difference` is the mean of the second's
    share less the first's, `mean_distance` that of its size. `kappa` counts in `levels` equal steps, which are those of the
    coarser scale. A coefficient that is undefined is null.
    """

    version: Annotated[int, Meta(ge=1, le=1)] = 1
    first: ComparedGrader
    second: ComparedGrader
    common: Count
    rows: Count
    pearson: Number | None
    spearman: Number | None
    kappa: Number | None
    levels: Count
    mean_difference: Number | None
    mean_distance: Number | None
    histogram: list[ComparedBar]
    sides: Sides | None = None


def comparison_text(found: GraderComparison) -> str:
    """Return a comparison as JSON."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n"
