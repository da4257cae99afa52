"""Replies of real small models, each with the score that a person reads in it: read as that score, or refused.

`real_replies.jsonl` has one a line: the model, the kind of prompt that asked, `reply:` of the recipe, the text as llama.cpp's
server gave it, and `score`, set by reading the text; null where a person could not say one for sure.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alpaqual.graders._reply import parse_score

REPLIES: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("real_replies.jsonl").read_text(encoding="utf-8").splitlines()
]


def read(reply: dict[str, Any]) -> float | None:
    place, finish = reply["reply"], reply["finish_reason"]
    return parse_score(reply["text"], reply["low"], reply["high"], reply["dimension"], finish, place).score


def test_no_reply_is_read_wrong() -> None:
    wrong = [reply for reply in REPLIES if (found := read(reply)) is not None and found != reply["score"]]
    assert wrong == []


def test_most_scores_are_read() -> None:
    scored = [reply for reply in REPLIES if reply["score"] is not None]
    missed = [reply["text"] for reply in scored if read(reply) is None]
    assert (len(REPLIES), len(scored), len(missed)) == (365, 99, 36)


@pytest.mark.parametrize("model", sorted({reply["model"] for reply in REPLIES}))
def test_the_replies_are_different_ones(model: str) -> None:
    texts = [(reply["text"], reply["finish_reason"], reply["reply"]) for reply in REPLIES if reply["model"] == model]
    assert len(set(texts)) == len(texts)
