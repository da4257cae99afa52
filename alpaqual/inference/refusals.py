"""Decides by what came before whose a refusal is: one row's, or that of every request.

Refusals without any reply, or several in a row later, stop the run. A reply to a request that was sent after the refused
one shows that the server answers others: the refusal is then the row's. Replies to earlier requests show nothing, since a key or a
budget may have ended in between.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from alpaqual.errors import Fault, FaultKind

MAX_DENIED_FIRST = 3
"""Denied requests before the first reply that stop the run; the first requests are sent one at a time."""
MAX_REFUSED_FIRST = 5
"""Refused requests before the first reply that stop the run."""
MAX_IN_A_ROW = 5
"""Refusals in a row after replies that stop the run: denied ones, or refused ones in the same words."""
_VARIABLE = re.compile(r"\d+|\b[0-9a-f-]{8,}\b|'[^']*'|\"[^\"]*\"")
"""What differs between the same words about two requests: numbers, ids, quotations."""


@dataclass(frozen=True)
class Refusal:
    """A refused request: its number, its ledger key, its model and its fault."""

    number: int
    key: str
    model: str
    fault: Fault


class Refusals:
    """The refusals that no later reply has settled, and how many came in a row."""

    def __init__(self) -> None:
        self.sent = 0
        self.answered = False
        self.last_answered = 0
        self.unsettled: list[Refusal] = []
        self._first: Counter[FaultKind] = Counter()
        self._in_a_row: Counter[str] = Counter()

    def count_sent(self) -> int:
        """The number of a request that is sent now, from 1."""
        self.sent += 1
        return self.sent

    def add(self, number: int, key: str, model: str, fault: Fault) -> None:
        """Keep the refusal of request `number`. Raises Fault, FATAL, where it shows that every request is refused."""
        self.unsettled.append(Refusal(number, key, model, fault))
        if not self.answered:
            self._first[fault.kind] += 1
            if self._first[FaultKind.DENIED] >= MAX_DENIED_FIRST or self._first.total() >= MAX_REFUSED_FIRST:
                raise self._fatal(fault, f"the first {self._first.total()} requests")
            return
        words = fault.kind if fault.kind is FaultKind.DENIED else _VARIABLE.sub("", str(fault))
        self._in_a_row[words] += 1
        if self._in_a_row[words] >= MAX_IN_A_ROW:
            raise self._fatal(fault, f"{MAX_IN_A_ROW} requests in a row")

    def settle(self, number: int) -> Iterator[Refusal]:
        """After the reply to request `number`: settle the refusals of requests that were sent before it, and yield them."""
        self.answered = True
        self.last_answered = max(self.last_answered, number)
        self._in_a_row.clear()
        yield from self.settled()

    def settled(self) -> Iterator[Refusal]:
        """The refusals of requests that were sent before an answered one; a refusal may come after the later request's reply."""
        if not self.unsettled:
            return
        settled = [refusal for refusal in self.unsettled if refusal.number < self.last_answered]
        self.unsettled = [refusal for refusal in self.unsettled if refusal.number >= self.last_answered]
        yield from settled

    def settle_refused(self) -> Iterator[Refusal]:
        """At the end: settle what was refused without a known reason, and yield it; what was denied stays unsettled."""
        settled = [refusal for refusal in self.unsettled if refusal.fault.kind is FaultKind.REFUSED]
        self.unsettled = [refusal for refusal in self.unsettled if refusal.fault.kind is not FaultKind.REFUSED]
        yield from settled

    def _fatal(self, fault: Fault, which: str) -> Fault:
        return Fault(FaultKind.FATAL, fault.reason, f"{fault.detail} ({which})")
