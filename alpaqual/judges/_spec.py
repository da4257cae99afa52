"""What a judge is made of, and how it asks again after a reply without a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from alpaqual.reply_text import CUT, FINAL_REASONS, longer, with_demand
from alpaqual.values import Request, Vote

VERDICT_TOKENS = 16
"""Longest reply that is a verdict alone, in tokens, where the recipe names no limit."""
RATIONALE_TOKENS = 1024
"""Longest reply with an explanation, in tokens, where the recipe names no limit."""


@dataclass(frozen=True)
class JudgeSpec:
    """The settings of a judge.

    `parameters` are sent with each request (`temperature`, `max_tokens`, `parameters`, `headers`); without `max_tokens`, the judge
    sets its own. `template` is the text of a prompt file, and `reply` where its replies have the verdict. `rationale`: the judge
    explains its verdict.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None
    reply: Literal["scores", "letter"] | None = None
    rationale: bool = False

    def limited(self, tokens: int) -> dict[str, Any]:
        """The parameters, with a longest reply of `tokens` where they name none."""
        return {"max_tokens": tokens, **self.parameters}


def ask_again(request: Request, vote: Vote, attempt: int, demand: str) -> Request | None:
    """The request with a sentence on the form of the reply, once; None where it would not help.

    After a reply that was cut, the request allows a longer one.
    """
    if attempt > 1 or vote.retry or vote.reason in FINAL_REASONS:
        return None
    return longer(request) if vote.reason == CUT else with_demand(request, demand)
