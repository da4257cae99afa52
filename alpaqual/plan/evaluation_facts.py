"""What the stages of an evaluation leave in the seal of their results."""

from __future__ import annotations

import msgspec

from alpaqual.plan.facts import ReasonRows, ReplyFacts, StageFacts


class AnswerCounts(msgspec.Struct, frozen=True):
    """Answers of a model: questions, those with an answer, those cut at the limit of tokens, those without a text.

    `characters` is the sum over the answers; `processes` is how many computed them.
    """

    items: int
    answered: int
    cut: int
    empty: int
    characters: int
    processes: int = 1


class AnswerFacts(StageFacts, frozen=True, kw_only=True):
    """Of `answering.<model>.<test set>`; `replies` has one entry where a model answered, `notes` what is not asked of the test set."""

    answers: tuple[AnswerCounts, ...]
    unanswered: tuple[ReasonRows, ...] = ()
    replies: tuple[ReplyFacts, ...] = ()
    notes: tuple[str, ...] = ()


class JudgeFacts(StageFacts, frozen=True, kw_only=True):
    """Of `judging.…`; `replies` has one entry where a model judged, `notes` what a file of recorded replies is warned of."""

    replies: tuple[ReplyFacts, ...] = ()
    notes: tuple[str, ...] = ()
