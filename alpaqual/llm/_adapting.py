"""Learns from a server's refusals how it wants requests, once for all requests of a run.

The limit of a reply has three names, and newer models accept one of them; reasoning models refuse a temperature; some models have
the Responses API alone. A refusal that names such a setting is answered by the same request in another form. The form is kept
where the server then replies, so that a few hundred requests in flight need one attempt. The ledger's key stays as it is:
the server has no other way to answer that request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._fault_lines import NOT_FOUND
from alpaqual.values import Reply

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_OTHER = {LIMITS[0]: LIMITS[1], LIMITS[1]: LIMITS[0], LIMITS[2]: LIMITS[1]}
_MAX_STEPS = 5
_REFUSALS = (FaultKind.REFUSED, FaultKind.DENIED)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_REFUSED = re.compile(
    r"unsupported|not (?:be )?(?:supported|permitted|allowed|accepted|available|recogni[sz]ed|(?:a )?valid)"
    r"|(?:does|do|did)(?: not|n['’]t) (?:support|accept|allow|have|take)|can(?:not|['’]t) (?:both )?be (?:set|used|specified|both)"
    r"|extra (?:inputs|fields)|extra_forbidden|unknown|unrecogni[sz]ed|unexpected|deprecated|cannot find field"
    r"|may only be set|only the default|only temperature|invalid (?:parameter|argument|field)"
)
_INSTEAD = re.compile(r"\b(?:use|instead|required|requires|expected|switch to|replaced by)\b")
_RESPONSES_ONLY = re.compile(
    r"\bv1/responses\b|\bresponses (?:api|endpoint)\b|not a chat model|not supported in the v1/chat/completions"
    r"|chat_?completions? operation does not work"
)
_MODEL = re.compile(r"\bmodel(?:\b|_)")
_LOGPROBS = re.compile(
    r"top_?logprobs\b[^.]{0,60}?(?:<=|≤|at most|less than or equal to|maximum(?: of| is)?|between 0 and|\[0, ?|0-)\D{0,12}(\d{1,2})\b"
)
_FEWER_LOGPROBS = 5


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
        while (following := self.following(tried[-1], fault)) is not None and following not in tried:
            tried.append(following)
            try:
                reply = await attempt(following)
            except Fault as error:
                fault = error
                continue
            self.form = following
            return reply
        if fault.kind in _REFUSALS and (following is not None or refusal.reason == NOT_FOUND):
            # No form is accepted: the first refusal says why, and the others are not tried again.
            self._in_vain.update(tried[1:])
            raise refusal
        raise fault

    def following(self, form: Form, fault: Fault) -> Form | None:
        """The form to try after a refusal; None where the refusal is about nothing that another form changes."""
        if fault.kind not in _REFUSALS:
            return None
        detail = fault.detail.lower()
        found = self._by_responses(form, fault.reason, detail) or self._by_setting(form, detail)
        return None if found is None or found in self._in_vain else found

    def _by_responses(self, form: Form, reason: str, detail: str) -> Form | None:
        if form.responses or not self.responses:
            return None
        # A 404 that names no model is about the path.
        if _RESPONSES_ONLY.search(detail) or (reason == NOT_FOUND and not _MODEL.search(detail)):
            return replace(form, responses=True)
        return None

    def _by_setting(self, form: Form, detail: str) -> Form | None:
        if found := _LOGPROBS.search(detail):
            fewer = int(found[1])
            return replace(form, top_logprobs=fewer) if 0 < fewer < form.top_logprobs else None
        for sentence in _SENTENCE.split(detail):
            refused = _REFUSED.search(sentence) is not None
            if refused and form.temperature and _names(sentence, "temperature"):
                return replace(form, temperature=False)
            if refused and form.top_logprobs > _FEWER_LOGPROBS and _names(sentence, "top_logprobs"):
                return replace(form, top_logprobs=_FEWER_LOGPROBS)
        return None if self.fixed or form.responses else _other_limit(form, detail)

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


def _other_limit(form: Form, detail: str) -> Form | None:
    """The form with another name of the limit, where a sentence refuses this name or asks for another one."""
    for sentence in _SENTENCE.split(detail):
        asked = [name for name in LIMITS if name != form.limit and _names(sentence, name)]
        if asked and _INSTEAD.search(sentence):
            return replace(form, limit=asked[0])
    for sentence in _SENTENCE.split(detail):
        if _REFUSED.search(sentence) and _names(sentence, form.limit):
            return replace(form, limit=_OTHER[form.limit])
    return None


def _names(sentence: str, setting: str) -> bool:
    """Whether a sentence has the name of a setting as a word."""
    return re.search(rf"(?<![\w-]){setting}(?![\w-])", sentence) is not None
