"""From a judge's reply to its vote: what the ways of reading have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from alpaqual.reply_text import (
    CUT,
    EMPTY,
    END_OF_THINKING,
    OPEN_ENDS,
    REFUSAL,
    UNFINISHED_THINKING,
    is_cut,
    is_refusal,
    plain,
    without_end_token,
    without_thinking,
)
from alpaqual.values import Reply, Vote, Winner

OUT_OF_SCALE = "out of scale"
LOW, HIGH = 0.0, 10.0
"""The prompts ask for 1 to 10. Judges give 0 to an answer that is empty or refuses, which is as clear."""

TAG = re.compile(r"</?(?:answer|verdict|final|rating|score|result|output|decision|judge?ment)>", re.IGNORECASE)
"""A tag around a verdict."""


@dataclass(frozen=True)
class Said:
    """What a text says: a winner or scores. `open`: more may have followed in a reply that was cut."""

    winner: Winner | None = None
    scores: tuple[float, ...] = ()
    open: bool = False


Reader = Callable[[str], Said | str]
"""From an answer without thinking to what it says, or the reason why it says nothing."""


def read_vote(reply: Reply, read: Reader, *, first_line: bool) -> Vote:
    """The vote of a reply. `first_line`: the verdict comes first, so a later end of thinking can be a quotation."""
    raw = reply.text or ""
    said = _said(raw, read, first_line=first_line)
    cut = is_cut(reply.finish_reason)
    if isinstance(said, str):
        reason = CUT if cut and said not in (REFUSAL, OUT_OF_SCALE) else said
        return Vote(None, reason=reason, reply=raw)
    if cut and said.open and not (first_line and raw[-1] not in OPEN_ENDS and not raw[-1].isdigit()):
        return Vote(None, reason=CUT, reply=raw)
    return Vote(said.winner, said.scores, reply=raw)


def _said(raw: str, read: Reader, *, first_line: bool) -> Said | str:
    text = without_thinking(raw)
    if text is None:
        return UNFINISHED_THINKING
    parts = [part.strip() for part in END_OF_THINKING.split(text)] if "</" in text else [text]
    if first_line and len(parts) > 1:
        # Both sides count: the end of thinking can be a line of an answer that the judge quotes.
        found = [said for part in parts if not isinstance(said := _read(part, read), str)]
        return found[0] if found and all(each.scores == found[0].scores for each in found) else _read(parts[-1], _none)
    return _read(parts[-1], read)


def _read(text: str, read: Reader) -> Said | str:
    body = without_end_token(plain(text))
    if not body:
        return EMPTY
    said = read(body)
    return REFUSAL if isinstance(said, str) and said != OUT_OF_SCALE and is_refusal(body) else said


def _none(_: str) -> str:
    return "verdicts that differ"


def compared(first: float, second: float) -> Winner:
    """The side with the higher score."""
    return "tie" if first == second else "first" if first > second else "second"


def in_scale(*scores: float) -> bool:
    """Whether all scores are on the scale of the prompts."""
    return all(LOW <= score <= HIGH for score in scores)
