"""Reads in a server's refusal which form of the request it wants, in the words of providers, gateways and servers of one's own."""

from __future__ import annotations

import re
from dataclasses import replace

from alpaqual.errors import Fault
from alpaqual.llm._adapting import LIMITS, Form
from alpaqual.llm._fault_lines import NOT_FOUND

_OTHER = {LIMITS[0]: LIMITS[1], LIMITS[1]: LIMITS[0], LIMITS[2]: LIMITS[1]}
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_REFUSED = re.compile(
    r"unsupported|disallowed|forbidden|obsolete|deprecated|removed|no longer|disabled|illegal|不支持|不允许"
    r"|(?:not|n['’]t) (?:be |been |currently )?(?:an? |the )?"
    r"(?:supported|permitted|allowed|accepted|available|applicable|configurable|adjustable|recogni[sz]ed|known|valid|implemented|compatible)"
    r"|(?:does|do|did)(?: not|n['’]t) (?:support|accept|allow|have|take|recogni[sz]e)|can(?:not|['’]t) (?:both )?(?:be )?(?:set|used?|specif(?:y|ied)|changed?|both)"
    r"|(?:must|should|has to|needs to) be (?:1(?:\.0+)?\b|unset|omitted|removed|left out|the default|default)"
    r"|extra (?:inputs|fields|keys)|extra_forbidden|unknown|unrecogni[sz]ed|unexpected|cannot find field"
    r"|may only be set|only the default|only temperature|only [0-9.]+ is (?:allowed|supported|accepted)"
    r"|invalid (?:parameter|argument|field|key)|no such (?:parameter|argument|field)"
)
_INSTEAD = re.compile(
    r"\b(?:use|instead|required|requires|expected|only|switch to|replaced by|renamed to|in favou?r of)\b"
)
_RESPONSES_ONLY = re.compile(
    r"(?:\bv1|(?<![\w.]))/responses\b|\bresponses (?:api|endpoint)\b|not a chat model|not supported in the v1/chat/completions"
    r"|chat_?completions? operation does not work"
)
_MODEL = re.compile(r"\bmodels?(?:\b|_)")
_LOGPROBS = re.compile(
    r"top_?logprobs\b[^.]{0,60}?(?:<=|≤|at most|less than or equal to|maximum(?: of| is)?|between 0 and|\[0, ?|0-)\D{0,12}(\d{1,2})\b"
)
_FEWER_LOGPROBS = 5


def other_form(form: Form, fault: Fault, *, responses: bool, fixed: bool) -> Form | None:
    """The form that a refusal asks for; None where it asks for none.

    `responses`: whether the provider has a Responses API; `fixed`: whether the name of the limit is to stay.
    """
    detail = fault.detail.lower()
    by_api = _by_responses(form, fault.reason, detail) if responses else None
    return by_api or _by_setting(form, detail, fixed=fixed)


def _by_responses(form: Form, reason: str, detail: str) -> Form | None:
    if form.responses:
        return None
    # A 404 that names no model is about the path.
    if _RESPONSES_ONLY.search(detail) or (reason == NOT_FOUND and not _MODEL.search(detail)):
        return replace(form, responses=True)
    return None


def _by_setting(form: Form, detail: str, *, fixed: bool) -> Form | None:
    if found := _LOGPROBS.search(detail):
        fewer = int(found[1])
        return replace(form, top_logprobs=fewer) if 0 < fewer < form.top_logprobs else None
    for sentence in _SENTENCE.split(detail):
        refused = _REFUSED.search(sentence) is not None
        if refused and form.temperature and _names(sentence, "temperature"):
            return replace(form, temperature=False)
        if refused and form.top_logprobs > _FEWER_LOGPROBS and _names(sentence, "top_logprobs"):
            return replace(form, top_logprobs=_FEWER_LOGPROBS)
    return None if fixed or form.responses else _other_limit(form, detail)


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
