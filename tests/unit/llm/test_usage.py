"""Tokens as providers and gateways count them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback.clouds import ANTHROPIC, OPENAI

from alpaqual.errors import Fault
from alpaqual.inference.price import Price
from alpaqual.llm._usage import anthropic_tokens, openai_tokens
from alpaqual.values import CacheTokens

FORMS = {
    "OpenAI": (
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 256},
        },
        (2006, 300, 256, CacheTokens(1920)),
    ),
    "OpenAI, responses": (
        {
            "input_tokens": 36,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 87,
            "output_tokens_details": {"reasoning_tokens": 64},
            "total_tokens": 123,
        },
        (36, 87, 64, None),
    ),
    "DeepSeek": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 7,
            "total_tokens": 107,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
        },
        (100, 7, None, CacheTokens(64)),
    ),
    "Gemini: thinking is beside the completion": (
        {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 1025},
        (20, 1005, None, None),
    ),
    "xAI: reasoning is beside the completion": (
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        (32, 103, 94, None),
    ),
    "more reasoning than completion, without a total": (
        {"prompt_tokens": 32, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 94}},
        (32, 103, 94, None),
    ),
    "OpenRouter": (
        {
            "prompt_tokens": 10_339,
            "completion_tokens": 60,
            "total_tokens": 10_399,
            "prompt_tokens_details": {"cached_tokens": 10_318, "cache_write_tokens": 12},
        },
        (10_339, 60, None, CacheTokens(10_318, 12)),
    ),
    "LiteLLM before Anthropic": (
        {
            "prompt_tokens": 1100,
            "completion_tokens": 6,
            "total_tokens": 1106,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 1000},
            "cache_creation_input_tokens": 1000,
            "cache_read_input_tokens": 0,
        },
        (1100, 6, None, CacheTokens(0, 1000)),
    ),
    "a gateway that leaves the cache out of the prompt": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 6,
            "total_tokens": 1106,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 1000,
        },
        (1100, 6, None, CacheTokens(1000)),
    ),
    "DashScope": (
        {
            "prompt_tokens": 1200,
            "completion_tokens": 6,
            "total_tokens": 1206,
            "prompt_tokens_details": {
                "cached_tokens": 0,
                "cache_creation_input_tokens": 1100,
                "cache_creation": {"ephemeral_5m_input_tokens": 1100},
            },
        },
        (1200, 6, None, CacheTokens(0, 1100)),
    ),
    "no usage": (None, (None, None, None, None)),
    "numbers that are none": ({"prompt_tokens": "9", "completion_tokens": -1, "total_tokens": 1e9}, (None,) * 4),
}


@pytest.mark.parametrize(("usage", "counted"), FORMS.values(), ids=FORMS)
def test_what_is_billed_in_openai_s_form(usage: Any, counted: tuple[Any, ...]) -> None:
    found = openai_tokens(usage)
    names = ("input_tokens", "output_tokens", "reasoning_tokens", "cache")
    assert tuple(found.get(name) for name in names) == counted


FORM = st.sampled_from(["OpenAI", "responses", "DeepSeek", "Gemini", "xAI", "OpenRouter", "LiteLLM", "cache beside"])


@given(
    form=FORM,
    plain=st.integers(1, 5000),
    read=st.integers(0, 5000),
    written=st.integers(0, 5000),
    answer=st.integers(1, 900),
    reasoning=st.integers(0, 4000),
)
def test_every_token_is_billed_once(
    form: str, plain: int, read: int, written: int, answer: int, reasoning: int
) -> None:
    """What a model read and wrote is found again in each provider's way to write it down."""
    written = written if form in ("OpenRouter", "LiteLLM", "cache beside") else 0
    read = 0 if form in ("Gemini", "xAI") else read
    total_in, total_out = plain + read + written, answer + reasoning
    usage: dict[str, Any] = {
        "prompt_tokens": total_in,
        "completion_tokens": total_out,
        "total_tokens": total_in + total_out,
    }
    details = {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    if form == "OpenAI":
        usage |= {"prompt_tokens_details": {"cached_tokens": read}, **details}
    elif form == "responses":
        usage = {
            "input_tokens": total_in,
            "output_tokens": total_out,
            "total_tokens": total_in + total_out,
            "input_tokens_details": {"cached_tokens": read},
            "output_tokens_details": {"reasoning_tokens": reasoning},
        }
    elif form == "DeepSeek":
        usage |= {"prompt_cache_hit_tokens": read, "prompt_cache_miss_tokens": plain, **details}
    elif form == "Gemini":
        usage["completion_tokens"] = answer
    elif form == "xAI":
        usage |= {"completion_tokens": answer, **details}
    elif form == "OpenRouter":
        usage |= {"prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written}, **details}
    elif form == "LiteLLM":
        usage |= {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    else:
        usage |= {"prompt_tokens": plain, "cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    found = openai_tokens(usage)
    assert (found["input_tokens"], found["output_tokens"]) == (total_in, total_out)
    assert found["cache"] == (CacheTokens(read, written) if read or written else None)


def test_what_is_billed_in_anthropic_s_form() -> None:
    usage = {
        "input_tokens": 50,
        "cache_creation_input_tokens": 456,
        "cache_read_input_tokens": 2000,
        "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 56},
        "output_tokens": 9,
    }
    found = anthropic_tokens(usage)
    assert found == {"input_tokens": 2506, "output_tokens": 9, "cache": CacheTokens(2000, 456, 56)}
    assert anthropic_tokens({"input_tokens": 5, "output_tokens": 1})["cache"] is None
    # 3, 3.75, 6 and 0.30 dollars a million, as Anthropic's page has them.
    price = Price(3.0, 15.0, "test", cache_read=0.3, cache_write=3.75)
    usd = (50 * 3 + 400 * 3.75 + 56 * 6 + 2000 * 0.3 + 9 * 15) / 1e6
    assert price.of(2506, 9, found["cache"]) == pytest.approx(usd)


def test_a_price_without_the_cache_s_is_at_most_anthropic_s() -> None:
    price = Price(4.0, 0.0, "test")
    assert price.of(1000, 0, CacheTokens(read=1000)) == pytest.approx(4e-3)
    assert price.of(1000, 0, CacheTokens(written=1000)) == pytest.approx(5e-3)
    assert price.of(1000, 0, CacheTokens(written=1000, written_1h=1000)) == pytest.approx(8e-3)
    assert price.saved(CacheTokens(written=1000)) == pytest.approx(-1e-3)


USAGE = {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34}


@pytest.mark.parametrize(
    ("answer", "lost", "tokens"),
    [
        ({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}], "usage": USAGE}, True, 30),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}, True, None),
        ({"choices": [], "usage": USAGE}, True, 30),
        ({"choices": []}, True, None),
        ({"error": {"message": "server error", "code": 500}}, False, None),
    ],
)
def test_a_response_without_a_reply_is_billed(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], lost: bool, tokens: int | None
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with pytest.raises(Fault) as raised:
        OPENAI.open().reply(answer)
    assert (raised.value.lost, raised.value.usage.get("input_tokens")) == (lost, tokens)


def test_a_refusal_of_anthropic_s_is_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    with pytest.raises(Fault) as raised:
        ANTHROPIC.open().reply(
            {"content": [], "stop_reason": "refusal", "usage": {"input_tokens": 7, "output_tokens": 3}}
        )
    assert (raised.value.usage["input_tokens"], raised.value.usage["output_tokens"]) == (7, 3)
