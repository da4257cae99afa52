"""Whose a refusal is, by the order of requests and replies."""

from __future__ import annotations

import pytest

from alpaqual.errors import Fault, FaultKind
from alpaqual.inference.refusals import MAX_DENIED_FIRST, MAX_IN_A_ROW, MAX_REFUSED_FIRST, Refusals


def refuse(
    refusals: Refusals, kind: FaultKind = FaultKind.DENIED, words: str = "no", number: int | None = None
) -> Fault:
    fault = Fault(kind, "refused by the server (400)", words)
    refusals.add(refusals.count_sent() if number is None else number, "key", "openai/m", fault)
    return fault


def reply(refusals: Refusals, number: int | None = None) -> int:
    """Settle after a reply; returns how many refusals were settled."""
    return len(list(refusals.settle(refusals.count_sent() if number is None else number)))


@pytest.mark.parametrize(
    ("kind", "limit"), [(FaultKind.DENIED, MAX_DENIED_FIRST), (FaultKind.REFUSED, MAX_REFUSED_FIRST)]
)
def test_refusals_before_the_first_reply_stop_the_run(kind: FaultKind, limit: int) -> None:
    refusals = Refusals()
    for at in range(limit - 1):
        refuse(refusals, kind, f"other words {at}")
    with pytest.raises(Fault, match=f"the first {limit} requests") as stopped:
        refuse(refusals, kind)
    assert stopped.value.kind is FaultKind.FATAL


@pytest.mark.parametrize("kind", [FaultKind.DENIED, FaultKind.REFUSED])
def test_refusals_in_a_row_after_replies_stop_the_run(kind: FaultKind) -> None:
    refusals = Refusals()
    for _ in range(10):
        reply(refusals)
        for at in range(MAX_IN_A_ROW - 1):
            refuse(refusals, kind, f"the request 12{at} 'a row {at}' is refused")
    with pytest.raises(Fault, match="in a row"):
        refuse(refusals, kind, "the request 99 'another' is refused")


def test_refusals_in_different_words_are_not_one_cause() -> None:
    refusals = Refusals()
    reply(refusals)
    for words in "abcdefghijkl":
        refuse(refusals, FaultKind.REFUSED, words)


def test_only_a_reply_to_a_request_that_was_sent_after_the_refusal_settles() -> None:
    """A server takes the requests in flight in any order: a budget may end between two of them."""
    refusals = Refusals()
    first, second, third = (refusals.count_sent() for _ in range(3))
    refuse(refusals, number=second)
    assert [reply(refusals, first), reply(refusals, third)] == [0, 0]
    assert len(refusals.unsettled) == 1
    assert reply(refusals) == 1
    assert refusals.unsettled == []


@pytest.mark.parametrize("later_first", [True, False])
def test_at_the_end_a_reply_to_a_later_request_settles(later_first: bool) -> None:
    refusals = Refusals()
    first, second = (refusals.count_sent() for _ in range(2))
    if later_first:
        reply(refusals, second)
    refuse(refusals, number=first)
    if not later_first:
        reply(refusals, second)
    assert len(refusals.unsettled) == 1
    assert len(list(refusals.settle_at_end())) == 1
    assert refusals.unsettled == []


def test_at_the_end_what_was_denied_stays_open() -> None:
    refusals = Refusals()
    reply(refusals)
    refuse(refusals, FaultKind.DENIED)
    refused = refuse(refusals, FaultKind.REFUSED)
    assert [refusal.fault for refusal in refusals.settle_at_end()] == [refused]
    assert len(refusals.unsettled) == 1


def test_a_settled_fault_has_the_provider_s_words_without_ids() -> None:
    fault = Fault(FaultKind.DENIED, "the key is refused", "403: not for request 0123456789abcdef")
    fault.settle()
    assert (fault.kind, fault.unsettled) == (FaultKind.REQUEST, False)
    assert fault.reason == "the key is refused: 403: not for request …"
