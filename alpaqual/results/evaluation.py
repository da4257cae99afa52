"""The results of an evaluation: answers, verdicts and the figures made of them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from alpaqual.results.record import Amount, Count, Number, Record, Share

Interval = Annotated[list[Number], Meta(min_length=2, max_length=2)]
"""Lower and upper bound, at 95%."""


class AnswersResult(Record, frozen=True, kw_only=True):
    """Answers of one model to one test set.

    `answered` of `questions` have an answer; `cut` ended at the limit of new tokens, `empty` have no text. `unanswered` counts the
    others by reason. `why` says why the stage did not run; it is empty where it did.
    """

    model: str
    test_set: str
    questions: Count = 0
    answered: Count = 0
    cut: Count = 0
    empty: Count = 0
    unanswered: dict[str, Count] = msgspec.field(default_factory=dict)
    calls_made: Count = 0
    calls_reused: Count = 0
    input_tokens: Count = 0
    output_tokens: Count = 0
    cost_usd: Amount = 0.0
    priced: bool = True
    seconds: Amount = 0.0
    gpu_hours: Amount | None = None
    mean_characters: Amount | None = None
    why: str = ""


class VerdictCounts(Record, frozen=True, kw_only=True):
    """Verdicts of a group of items: `n` = win + tie + lose; `unjudged` lack a vote that can be read, and are in no other number.

    `winning_score` is (win - lose) / n + 1, `interval` its 95% interval; both are null without verdicts.
    """

    n: Count
    win: Count
    tie: Count
    lose: Count
    unjudged: Count = 0
    winning_score: Number | None = None
    interval: Interval | None = None


class GroupVerdicts(VerdictCounts, frozen=True, kw_only=True):
    """Verdicts of the items of one category or skill; `few` marks one with too few items to read anything from."""

    few: bool = False


class PairResult(VerdictCounts, frozen=True, kw_only=True):
    """Verdicts on model `a` against model `b`: one test set, judge and rule; `test_set` is null for all of them together.

    `p_value` is that of the two-sided sign test over wins and losses; `detectable` is the smallest distance of the winning score from
    1 that this many items show in 80% of such comparisons; `needed` is about how many items would show the distance that was found.
    `shown`: helps where the interval is above 1, hurts where it is below, else not shown. `unjudged_reasons` counts items by the
    first reason. `categories` and `skills` group the items as the test set does. `mean_a` and `mean_b` are mean scores, where the
    judge gives scores.
    """

    a: str
    b: str
    test_set: str | None
    judge: str
    rule: str
    p_value: Share | None = None
    detectable: Number | None = None
    needed: Count | None = None
    shown: Literal["helps", "hurts", "not shown"] = "not shown"
    unjudged_reasons: dict[str, Count] = msgspec.field(default_factory=dict)
    categories: dict[str, GroupVerdicts] = msgspec.field(default_factory=dict)
    skills: dict[str, GroupVerdicts] = msgspec.field(default_factory=dict)
    mean_a: Number | None = None
    mean_b: Number | None = None
    control: str | None = None
    """The size-matched random control of `a` that the recipe also judges; null where there is none."""


class JudgeResult(Record, frozen=True, kw_only=True):
    """How far a judge can be trusted, over all its pairs.

    `order_agreement` and `order_kappa` (Cohen's) compare the votes of the two orders; `first_position_rate` and
    `second_position_rate` are shares of the votes that name a winner; `longer_wins_rate` is the share of decided verdicts that the longer
    answer won, `balanced_longer_rate` that share with each model giving the longer answer equally often (null where one gives nearly
    all of them); `length_controlled_rate` is the win rate of `a` at equal length, from a logistic regression. `flags` say what is
    wrong with it in words.
    """

    model: str = ""
    prompt: str = ""
    n: Count = 0
    votes: Count = 0
    unread: Count = 0
    order_agreement: Share | None = None
    order_kappa: Number | None = None
    first_position_rate: Share | None = None
    second_position_rate: Share | None = None
    longer_wins_rate: Share | None = None
    balanced_longer_rate: Share | None = None
    win_rate: Share | None = None
    length_controlled_rate: Share | None = None
    length_controlled_interval: Interval | None = None
    flags: list[str] = msgspec.field(default_factory=list)
    calls_made: Count = 0
    calls_reused: Count = 0
    input_tokens: Count = 0
    output_tokens: Count = 0
    cost_usd: Amount = 0.0
    priced: bool = True


class Agreement(Record, frozen=True, kw_only=True):
    """Agreement of two judges on the items that both judged: Cohen's kappa over win, tie and lose."""

    judges: list[str]
    n: Count
    agreement: Share | None = None
    kappa: Number | None = None


class Rating(Record, frozen=True, kw_only=True):
    """Bradley-Terry rating of a model, on Elo's scale (400 points: ten to one), mean 1000 over the models."""

    rating: Number
    interval: Interval | None = None
    n: Count = 0


class Capability(Record, frozen=True, kw_only=True):
    """Sum of a model's scores as a percentage of a reference model's, over the same items; per skill or category in `groups`."""

    percentage: Number
    n: Count
    interval: Interval | None = None
    groups: dict[str, Capability] = msgspec.field(default_factory=dict)
    few: bool = False


class SizePoint(Record, frozen=True, kw_only=True):
    """The winning score of a trained dataset against a common opponent, by its number of rows."""

    model: str
    against: str
    test_set: str | None
    judge: str
    rows: Count
    winning_score: Number
    interval: Interval
    reaches: bool = False
    """Whether it is the smallest of nested datasets whose interval reaches the whole set's."""


class EvaluationResult(Record, frozen=True, kw_only=True):
    """What an evaluation found. `waiting` has the stages that did not run, with the reason."""

    rule: str
    answers: list[AnswersResult] = msgspec.field(default_factory=list)
    pairs: list[PairResult] = msgspec.field(default_factory=list)
    overall: list[PairResult] = msgspec.field(default_factory=list)
    judges: dict[str, JudgeResult] = msgspec.field(default_factory=dict)
    agreements: list[Agreement] = msgspec.field(default_factory=list)
    ratings: dict[str, Rating] = msgspec.field(default_factory=dict)
    capability: dict[str, dict[str, Capability]] = msgspec.field(default_factory=dict)
    sizes: list[SizePoint] = msgspec.field(default_factory=list)
    waiting: dict[str, str] = msgspec.field(default_factory=dict)
    """Stages that did not run: stage -> why."""
