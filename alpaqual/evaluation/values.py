"""What a judge compares and what it says, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alpaqual.values import Vote

Outcome = Literal["win", "tie", "lose"]
"""The verdict on model `a` of a pair, from both orders."""

Rule = Literal["paper", "fastchat", "mean_score"]
"""How the votes of both orders become one verdict.

paper: win for two wins or a win and a tie, lose for two losses or a loss and a tie, else tie (AlpaGasus, section 3.3).
fastchat: win or lose where both orders agree, else tie (FastChat's MT-bench). mean_score: the higher mean score wins.
"""

RULES: tuple[Rule, ...] = ("paper", "fastchat", "mean_score")

FEW = 10
"""A category or skill with fewer items than this says little: nine of Vicuna's categories have 10, coding 7 and maths 3."""

NOT_ASKED = Vote(None, reason="no reply")
"""The vote of an order that no judge was asked about."""


@dataclass(frozen=True)
class Judgement:
    """What a judge said of the answers of models `a` and `b` to one question: in the order a, b and in the order b, a.

    `groups` are those of the question. `text_a` and `text_b` are the answers, `question` is what the judge saw as the question; each
    is empty where a log does not have it. `one_order`: the log was made with one order alone, and the other is not asked for.
    `single`: both answers were rated one by one; the votes of both orders are then the same comparison of the scores.
    `asked` is false where a model has no answer that a judge could be asked about.
    """

    a: str
    b: str
    test_set: str
    id: str
    judge: str
    a_first: Vote = NOT_ASKED
    b_first: Vote = NOT_ASKED
    groups: tuple[tuple[str, str], ...] = ()
    question: str = ""
    text_a: str = ""
    text_b: str = ""
    one_order: bool = False
    single: bool = False
    asked: bool = True


@dataclass(frozen=True)
class TrainedDataset:
    """What figures need to know of a dataset that a model was trained on.

    `part_of` is the larger dataset that it is a part of, None for one that is a part of no other. `control` is its size-matched random
    control in the recipe; `needs_control` is false for all rows, and for random samples of them.
    """

    rows: int
    part_of: str | None = None
    control: str | None = None
    needs_control: bool = False
