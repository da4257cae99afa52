"""Parts of a provider's response: contents in parts, why it ended, tokens of reasoning."""

from __future__ import annotations

import pytest

from alpaqual.llm.anthropic import Plugin as Anthropic
from alpaqual.llm.openai import Plugin as OpenAI
from alpaqual.values import Endpoint, Reply


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("4.5", "4.5"),
        ([{"type": "text", "text": "4."}, {"type": "text", "text": "5"}], "4.5"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "5"}]}, {"type": "text", "text": "4.5"}], "4.5"),
        ([{"type": "output_text", "text": "4.5"}], "4.5"),
        ([{"text": "4.5"}, {"type": "image_url"}, None], "4.5"),
        ([], ""),
        (None, ""),
    ],
)
def test_a_content_of_text_or_of_parts(content: object, text: str) -> None:
    plugin = OpenAI(Endpoint("openai", "m", "http://127.0.0.1:9/v1"))
    answer = {
        "choices": [{"message": {"content": content}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}},
    }
    assert plugin.reply(answer) == Reply(text, "openai/m", 3, 9, None, "length", 7)


def test_a_message_says_why_it_ended() -> None:
    plugin = Anthropic(Endpoint("anthropic", "m", "http://127.0.0.1:9"))
    answer = {"content": [{"type": "text", "text": "4."}], "stop_reason": "max_tokens"}
    assert plugin.reply(answer) == Reply("4.", "anthropic/m", finish_reason="max_tokens")


@pytest.mark.parametrize("found", [None, 5, {"reasoning_tokens": "many"}, {}])
def test_what_is_unknown_is_none(found: object) -> None:
    plugin = OpenAI(Endpoint("openai", "m", "http://127.0.0.1:9/v1"))
    answer = {"choices": [{"message": {"content": "4"}}], "usage": {"completion_tokens_details": found}}
    assert plugin.reply(answer) == Reply("4", "openai/m")
