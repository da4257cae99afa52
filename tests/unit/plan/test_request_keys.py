"""What a recipe adds to requests is part of the ledger's key and of the fingerprint where it may change the answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from alpaqual.plan.prompts import grader_plugin, prompt_settings, reply_tokens
from alpaqual.plan.stage import fingerprint
from alpaqual.recipe.graders import Grader
from alpaqual.store.ledger import request_key
from alpaqual.values import Request, Row

ROW = Row("id", "Say so.", "", "So.")


def grader(**keys: Any) -> Grader:
    return msgspec.convert({"model": "openai/m", **keys}, Grader)


def request(**keys: Any) -> Request:
    return grader_plugin(grader(**keys), None, "openai/m").request(ROW)


def identity(**keys: Any) -> tuple[str, str]:
    return request_key(request(**keys)), fingerprint(prompt_settings(grader(**keys), None, "openai/m"))


@pytest.mark.parametrize(
    "keys",
    [
        {"parameters": {}},
        {"headers": {}},
        {"headers": {"X-Title": "grading"}},
        {"headers": {"OpenAI-Organization": "org-1"}},
        {"token_limit": "max_completion_tokens"},
        {"base_url": "https://x.openai.azure.com/openai/v1"},
    ],
)
def test_what_leaves_the_answer_as_it_is_leaves_the_key(keys: dict[str, Any]) -> None:
    assert identity(**keys) == identity()


def test_what_may_change_the_answer_has_keys_of_its_own() -> None:
    cases: list[dict[str, Any]] = [
        {},
        {"parameters": {"top_p": 0.9}},
        {"parameters": {"top_p": 0.8}},
        {"parameters": {"reasoning_effort": "low"}},
        {"parameters": {"extra_body": {"top_k": 20}}},
        {"headers": {"anthropic-beta": "a-2025-01-01"}},
        {"headers": {"anthropic-beta": "b-2025-01-01"}},
        {"scoring": "expectation"},
        {"scoring": "expectation", "parameters": {"top_p": 0.9}},
    ]
    found = [identity(**keys) for keys in cases]
    assert len({key for key, _ in found}) == len({settings for _, settings in found}) == len(cases)


def test_the_order_and_the_case_of_names_of_headers_do_not_matter() -> None:
    one = identity(parameters={"a": 1, "b": {"c": 2, "d": 3}}, headers={"Anthropic-Beta": "x", "X": "1"})
    assert one == identity(parameters={"b": {"d": 3, "c": 2}, "a": 1}, headers={"anthropic-beta": "x"})


def test_thinking_has_space_and_no_temperature() -> None:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert request(parameters=thinking).parameters == {"max_tokens": 2016, "parameters": thinking}
    assert request(parameters=thinking, keep_rationale=True).parameters["max_tokens"] == 2512
    assert request(parameters=thinking, max_tokens=3000).parameters["max_tokens"] == 3000
    assert reply_tokens(grader(parameters={"reasoning_effort": "low"})) == 4096 + 16
    assert request(parameters={"reasoning_effort": "low"}).parameters["temperature"] == 0
