"""Decides by what came before whose a refusal is: one row's, or that of every request.

Refusals without any reply, or several in a row later, stop the run. A reply to a request that was sent after the refusal came
shows that the server answers others: the refusal is then the row's. Replies to requests that were in flight with the refused
one show nothing, since a key or a budget may have ended in between, and a server takes them in any order. Where such a reply is
all there is when a run ends without a stop, it decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
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
    """A refused request: its number, how many requests were sent when it was refused, its ledger key, its model and its fault."""

    number: int
    sent: int
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
        self.unsettled.append(Refusal(number, self.sent, key, model, fault))
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
        """After the reply to request `number`: settle the refusals that came before it was sent, and yield them."""
        self.answered = True
        self.last_answered = max(self.last_answered, number)
        self._in_a_row.clear()
        if self.unsettled:
            yield from self._settle(lambda refusal: refusal.sent < self.last_answered)

    def settle_at_end(self) -> Iterator[Refusal]:
        """At the end: settle what was refused without a known reason, or before a reply to a later request, and yield it.

        What was denied after the last reply stays unsettled.
        """
        yield from self._settle(
            lambda refusal: refusal.fault.kind is FaultKind.REFUSED or refusal.number < self.last_answered
        )

    def _settle(self, of_the_row: Callable[[Refusal], bool]) -> list[Refusal]:
        settled = [refusal for refusal in self.unsettled if of_the_row(refusal)]
        self.unsettled = [refusal for refusal in self.unsettled if not of_the_row(refusal)]
        return settled

    def _fatal(self, fault: Fault, which: str) -> Fault:
        return Fault(FaultKind.FATAL, fault.reason, f"{fault.detail} ({which})")
