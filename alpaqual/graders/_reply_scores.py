"""Several scores from one reply: an object of JSON that is the reply, or that ends it. All scores count, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alpaqual.graders._reply import objects_of, without_score
from alpaqual.graders._reply_grammar import Found
from alpaqual.graders._reply_json import JsonObject, Pairs, only_value, read_value
from alpaqual.graders._scores import ScoreSpec
from alpaqual.reply_text import CUT, is_cut, plain
from alpaqual.values import Grade

_ENDINGS = ("score", "rating", "grade", "value")


def parse_scores(reply: str | None, scores: Sequence[ScoreSpec], finish_reason: str | None = None) -> Grade:
    """The grade with every score of a reply.

    Without one of them, the reason is the same as of a single score: empty reply, refusal, out of scale, no number, unfinished
    thinking, cut.
    """
    raw = reply or ""
    found = _find(raw, scores)
    if isinstance(found, str):
        cut = is_cut(finish_reason) and found not in ("refusal", "out of scale")
        return Grade(None, CUT if cut else found, reply)
    for score, value in zip(scores, found, strict=True):
        number = value.value
        if number != number or not score.low <= number <= score.high or value.high not in (None, score.high):
            return Grade(None, "out of scale", reply)
    return Grade(None, None, reply, scores=tuple(value.value + 0.0 for value in found))


def _find(raw: str, scores: Sequence[ScoreSpec]) -> list[Found] | str:
    objects = objects_of(raw)
    if isinstance(objects, str):
        return objects
    answers, behind = objects
    reason = ""
    for pairs in answers:
        found = _read(pairs, scores)
        if not isinstance(found, str):
            later = [_read(each, scores) for each in behind]
            return "no number" if any(not isinstance(each, str) and each != found for each in later) else found
        reason = reason or found
    return reason or without_score(raw)


def _read(pairs: Pairs, scores: Sequence[ScoreSpec]) -> list[Found] | str:
    """The value of each score in an object, or in the object that it holds under one key."""
    for candidate in _levels(pairs):
        values = [_under(candidate, score.name) for score in scores]
        if all(value is None for value in values):
            continue
        read = [read_value(value, score.name) for value, score in zip(values, scores, strict=True)]
        reasons = [each for each in read if isinstance(each, str)]
        return reasons[0] if reasons else [each for each in read if isinstance(each, Found)]
    return "no number"


def _levels(pairs: Pairs) -> Iterator[Pairs]:
    """The object, and those within it: `{"scores": {…}}`."""
    yield pairs
    yield from (value for _, value in pairs if isinstance(value, JsonObject))


def _under(pairs: Pairs, name: str) -> object:
    """The value under the name of a score, or within the object there; None where there is none."""
    wanted = _folded(name)
    names = {wanted, *(f"{wanted} {ending}" for ending in _ENDINGS)}
    value = only_value([value for key, value in pairs if _folded(key) in names])
    if isinstance(value, JsonObject):
        inner = {*names, *_ENDINGS}
        return only_value([each for key, each in value if _folded(key) in inner])
    return value


def _folded(key: str) -> str:
    return " ".join(plain(key).casefold().replace("_", " ").replace("-", " ").split())
