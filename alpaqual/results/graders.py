"""What a run found of each grader: its scores, what they cost, and whether it can be trusted."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from alpaqual.results.datasets import ScoreCount
from alpaqual.results.record import Amount, Count, Number, Record
from alpaqual.values import State


class ScoreScale(Record, frozen=True, kw_only=True):
    """The scores that a grader may give; `step` is null where any score between is allowed."""

    min: Number
    max: Number
    step: Annotated[float, Meta(gt=0, le=1e30)] | None


class HealthCheck(Record, frozen=True, kw_only=True):
    """What was measured of a grader, compared with the limits of the recipe.

    `value` is a share or a coefficient, null where it is undefined; `warn` and `fail` are the limits in words, null where the
    recipe sets none; `text` says what was found. Without limits a check passes; with one, an undefined value warns.
    """

    check: str
    value: Number | None
    warn: str | None
    fail: str | None
    state: State
    text: str


class ConfusionCell(Record, frozen=True, kw_only=True):
    """Rows with one pair of scores: `score` by this grader, `other` by the other."""

    score: Number
    other: Number
    rows: Count


class AgreementResult(Record, frozen=True, kw_only=True):
    """How the scores agree with those of another grader; `rows` are scored by both, `this_only` and `other_only` by one."""

    with_: str = msgspec.field(name="with")
    rows: Count
    this_only: Count
    other_only: Count
    spearman: Number | None
    kappa: Number | None
    confusion: list[ConfusionCell]


class LevelResult(Record, frozen=True, kw_only=True):
    """Rows that people gave one score: the grader's mean score of those that it scored, and that less people's mean.

    Scores between two levels count as the nearer one.
    """

    level: Number
    rows: Count
    scored: Count
    mean: Number | None
    bias: Number | None


class GoldenResult(Record, frozen=True, kw_only=True):
    """How the scores agree with those that people gave to golden rows.

    `wrong` rows have a score more than `within` off, or none. `bias` is the mean of score less people's, `mean_error` that of its
    size. `kappa` and `confusion` (`other` is people's score) count in steps of the scale, or in tenths of it. `left_out` rows of
    the file are not in the data, where a grader sends no requests.
    """

    file: str
    within: Number
    rows: Count
    scored: Count
    wrong: Count
    left_out: Count = 0
    mean_error: Number | None
    bias: Number | None
    spearman: Number | None
    kappa: Number | None
    levels: list[LevelResult]
    confusion: list[ConfusionCell]


class CalibrationLevel(Record, frozen=True, kw_only=True):
    """One raw score and what the map makes of it; `rows` of people's file have it, and their mean score is `mean`."""

    raw: Number
    score: Number
    rows: Count
    mean: Number | None


class MapKnot(Record, frozen=True, kw_only=True):
    """A knot of the map, which is linear between two knots and flat outside of them."""

    raw: Number
    score: Number


class ThresholdPosition(Record, frozen=True, kw_only=True):
    """A dataset's threshold on both scales: `raw` is the lowest raw score that is mapped to it or above, null where none is."""

    dataset: str
    threshold: Number
    raw: Number | None


class CalibrationResult(Record, frozen=True, kw_only=True):
    """The map from a grader's raw scores to people's scores in `file`.

    It was fitted on `rows` scores; `unscored` more are of rows without a raw score. Mean errors are those of the raw scores, of
    mapped ones, and of rows that are mapped without having been fitted on (each of `folds` parts by a map of the others).
    """

    file: str
    rows: Count
    unscored: Count
    folds: Count
    raw_error: Number
    fitted_error: Number
    held_out_error: Number
    levels: list[CalibrationLevel]
    knots: list[MapKnot]
    thresholds: list[ThresholdPosition]


class CascadeResult(Record, frozen=True, kw_only=True):
    """What a cascade saved.

    `asked` rows went to this grader, `taken_over` kept the score of the grader `first`. `saved_calls` are the calls that the
    cascade spared; `saved_usd` is what they would have cost at the mean price of a call, null where no price is known.
    """

    first: str
    asked: Count
    taken_over: Count
    saved_calls: Count
    saved_usd: Amount | None


class SamplesResult(Record, frozen=True, kw_only=True):
    """How far the samples of a row are apart, where each row is asked about more than once.

    A row's spread is its largest less its lowest score; `rows` have a score, and in `differing` of them the samples differ.
    """

    samples: Count
    rows: Count
    differing: Count
    mean_spread: Number | None
    largest_spread: Number | None


class GraderResult(Record, frozen=True, kw_only=True):
    """The scores of a grader, and what they cost.

    `source` says where scores come from, `models` which models answered. `cost_usd` is spent by this run, `lost_usd` of it on
    requests that gave no reply; `bought_usd` is what reused replies cost when they were new. `priced` is false where no price is known.
    `cache_read_tokens` of the input tokens came from the provider's cache, which took `cache_write_tokens` in; `cache_saved_usd` is what
    that saved, below 0 where it cost more.
    """

    dimension: str
    source: str
    models: list[str]
    scale: ScoreScale
    rows: Count
    scored: Count
    unscored: Count
    unscored_reasons: dict[str, Count]
    calls_made: Count
    calls_reused: Count
    input_tokens: Count
    output_tokens: Count
    cost_usd: Amount
    bought_usd: Amount = 0.0
    lost_usd: Amount = 0.0
    priced: bool = True
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_saved_usd: Number = 0.0
    calls_per_second: Amount = 0.0
    taken_over: Count = 0
    histogram: list[ScoreCount]
    health: list[HealthCheck] = msgspec.field(default_factory=list)
    agreement: AgreementResult | None = None
    golden: GoldenResult | None = None
    calibration: CalibrationResult | None = None
    cascade: CascadeResult | None = None
    samples: SamplesResult | None = None
