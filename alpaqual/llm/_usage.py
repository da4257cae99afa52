"""Reads the tokens that a provider counts, in the forms of providers and gateways, as fields of a Reply."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._fault_lines import UNFINISHED
from alpaqual.llm._faults import count_of
from alpaqual.values import CacheTokens, Reply

Read = TypeVar("Read", bound=Callable[..., Reply])
BROKEN = "broken reply"
"""Reason of the fault of a response that cannot be read."""
_FILTERED = {reason for kind, reason in UNFINISHED.values() if kind is FaultKind.REQUEST}
_READ = ("cached_tokens", "cache_read_tokens", "cache_read_input_tokens", "prompt_cache_hit_tokens")
"""Names of the tokens that a cache gave: OpenAI, OpenRouter, Anthropic and LiteLLM, DeepSeek."""
_WRITTEN = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
_WRITTEN_BY_TIME = ("cache_creation", "cache_creation_token_details")
"""Names of the object that splits the tokens that a cache took in by how long it keeps them."""


def openai_tokens(usage: object) -> dict[str, Any]:
    """Tokens of a usage in OpenAI's form (chat completions or responses), as fields of a Reply; unknown ones are None.

    Tokens that a provider counts beside the prompt or the completion are added to it: reasoning at Gemini and xAI, the cache at
    some gateways. `total_tokens` shows them.
    """
    if not isinstance(usage, Mapping):
        return {"input_tokens": None, "output_tokens": None}
    read_in = _first(usage, ("prompt_tokens", "input_tokens"))
    written_out = _first(usage, ("completion_tokens", "output_tokens"))
    details = _part(usage, ("completion_tokens_details", "output_tokens_details"))
    reasoning = _first(details, ("reasoning_tokens",))
    if reasoning is None:
        reasoning = count_of(usage, "reasoning_tokens")
    cache = _cache_of(usage, _part(usage, ("prompt_tokens_details", "input_tokens_details")))
    total = count_of(usage, "total_tokens")
    if read_in is not None and written_out is not None:
        cached = cache.read + cache.written if cache else 0
        beside = (total or 0) - read_in - written_out
        if cached > read_in or (cached and beside == cached and cached != reasoning):
            read_in, beside = read_in + cached, beside - cached
        written_out += max(0, beside)
        if reasoning is not None and reasoning > written_out:
            written_out += reasoning
    return {"input_tokens": read_in, "output_tokens": written_out, "reasoning_tokens": reasoning, "cache": cache}


def anthropic_tokens(usage: object) -> dict[str, Any]:
    """Tokens of a usage in Anthropic's form, as fields of a Reply: its `input_tokens` leave the cache out, a Reply's do not."""
    if not isinstance(usage, Mapping):
        return {"input_tokens": None, "output_tokens": None}
    read_in, cache = count_of(usage, "input_tokens"), _cache_of(usage, {})
    if read_in is not None and cache is not None:
        read_in += cache.read + cache.written
    return {"input_tokens": read_in, "output_tokens": count_of(usage, "output_tokens"), "cache": cache}


def billed(tokens: Callable[[object], Mapping[str, Any]]) -> Callable[[Read], Read]:
    """Decorate a method that reads a response: its faults have what the provider bills for a response without a reply."""

    def decorate(read: Read) -> Read:
        @functools.wraps(read)
        def reply(plugin: Any, answer: Mapping[str, Any], *more: Any) -> Reply:
            try:
                return read(plugin, answer, *more)
            except Fault as fault:
                usage = answer.get("usage")
                fault.usage = tokens(usage) if usage else {}
                fault.lost = fault.reason == BROKEN or fault.reason in _FILTERED
                raise

        return cast("Read", reply)

    return decorate


def _cache_of(usage: Mapping[str, Any], details: Mapping[str, Any]) -> CacheTokens | None:
    """The tokens of a cache, in the usage itself or in the details of its input; None where neither has any."""
    read, written = (max(_first(details, names) or 0, _first(usage, names) or 0) for names in (_READ, _WRITTEN))
    by_time = _part(details, _WRITTEN_BY_TIME) or _part(usage, _WRITTEN_BY_TIME)
    hour = count_of(by_time, "ephemeral_1h_input_tokens") or 0
    written = max(written, hour + (count_of(by_time, "ephemeral_5m_input_tokens") or 0))
    return CacheTokens(read, written, hour) if read or written else None


def _first(part: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := count_of(part, name)) is not None), None)


def _part(usage: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    return next((part for name in names if isinstance(part := usage.get(name), Mapping)), {})
