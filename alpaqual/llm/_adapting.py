"""Learns from a server's refusals how it wants requests, once for all requests of a run.

The limit of a reply has three names, and newer models accept one of them; reasoning models refuse a temperature; some models have
the Responses API alone. A refusal that names such a setting is answered by the same request in another form. The form is kept
where the server then replies, so that a few hundred requests in flight need one attempt. The ledger's key stays as it is:
the server has no other way to answer that request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._fault_lines import NOT_FOUND
from alpaqual.values import Reply

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_MAX_STEPS = 5
_REFUSALS = (FaultKind.REFUSED, FaultKind.DENIED)


@dataclass(frozen=True)
class Form:
    """How requests are written: the name of the limit, whether a temperature is sent, by which API, how many `top_logprobs`."""

    limit: str
    temperature: bool = True
    responses: bool = False
    top_logprobs: int = 20


class Adapting:
    """The form of all requests to one server. With `fixed`, the name of the limit is the recipe's."""

    def __init__(self, form: Form, *, fixed: bool = False, responses: bool = True) -> None:
        """`responses`: whether the provider has a Responses API."""
        self.form = form
        self.fixed = fixed
        self.responses = responses
        self._in_vain: set[Form] = set()
        self._lock = asyncio.Lock()

    @property
    def unsent(self) -> tuple[str, ...]:
        """Settings of the recipe that the server refuses, and that are not sent."""
        return () if self.form.temperature else ("temperature",)

    async def send(self, attempt: Callable[[Form], Awaitable[Reply]]) -> Reply:
        """The reply to a request, in the form that the server accepts. Raises the Fault of the last attempt."""
        steps = 0
        while True:
            form = self.form
            try:
                return await attempt(form)
            except Fault as fault:
                steps += 1
                if steps == _MAX_STEPS or self.following(form, fault) is None:
                    raise
                refusal = fault
            async with self._lock:
                # Another request may have found the form meanwhile.
                if self.form == form:
                    return await self._discover(form, refusal, attempt)

    async def _discover(self, form: Form, refusal: Fault, attempt: Callable[[Form], Awaitable[Reply]]) -> Reply:
        """The reply in the first form that the server accepts, which is kept. Raises Fault where it accepts none."""
        tried, fault = [form], refusal
        same = False
        while (following := self.following(tried[-1], fault)) is not None and following not in tried:
            tried.append(following)
            try:
                reply = await attempt(following)
            except Fault as error:
                same, fault = error.detail == fault.detail, error
                continue
            self.form = following
            return reply
        if fault.kind in _REFUSALS and (same or following is not None or refusal.reason == NOT_FOUND):
            # No form is accepted: the first refusal says why, and the others are not tried again.
            self._in_vain.update(tried[1:])
            raise refusal
        raise fault

    def following(self, form: Form, fault: Fault) -> Form | None:
        """The form to try after a refusal; None where the refusal is about nothing that another form changes."""
        if fault.kind not in _REFUSALS:
            return None
        # Compiled patterns that most runs do without.
        from alpaqual.llm._refused_forms import other_form

        found = other_form(form, fault, responses=self.responses, fixed=self.fixed)
        return None if found is None or found in self._in_vain else found

    async def results(
        self, outcomes: AsyncIterator[tuple[str, Reply | Fault]]
    ) -> AsyncIterator[tuple[str, Reply | Fault]]:
        """The outcomes of a batch. Where every request was refused for the form alone, the next one is taken.

        Raises Fault, REQUEST, in that case: the requests may be sent again.
        """
        held: list[tuple[str, Reply | Fault]] = []
        other: Form | None = None
        holding = True
        async for key, outcome in outcomes:
            following = self.following(self.form, outcome) if holding and isinstance(outcome, Fault) else None
            if following is not None:
                other = following
                held.append((key, outcome))
                continue
            for each in held:
                yield each
            held, holding = [], False
            yield key, outcome
        if held and other is not None:
            self.form = other
            raise Fault(FaultKind.REQUEST, "every request of the batch was refused for its form", str(held[0][1]))
