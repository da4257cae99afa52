"""What a grader's prompt is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alpaqual.graders._scores import Level, ScoreSpec
from alpaqual.reply_places import FIRST_LINE
from alpaqual.values import Row


@dataclass(frozen=True)
class Example:
    """A row with its right score, shown to the model before the question."""

    row: Row
    score: float
    rationale: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    """By name, where the grader asks for several."""


@dataclass(frozen=True)
class PromptSpec:
    """What a grader's prompt is made of: dimension, scale, sampling parameters, template and examples.

    `structured` requests JSON that holds the score (and the rationale, where it is kept); `choices` has the texts of all
    scores of the scale where a local model gives the expectation over them. `reply` is where a reply has its score. `cache`: what is
    the same for every row comes first. `scores` are asked for at once, in place of one; `levels` say what scores mean. With `fence`,
    marks are around the texts of a row.
    """

    dimension: str
    low: float
    high: float
    parameters: Mapping[str, Any]
    template: str | None = None
    step: float | None = None
    examples: Sequence[Example] = ()
    structured: bool = False
    rationale: bool = False
    choices: Sequence[str] = ()
    reply: str = FIRST_LINE
    cache: bool = False
    scores: Sequence[ScoreSpec] = ()
    levels: Sequence[Level] = ()
    fence: bool = False
