"""What a recipe may add to requests, and what `check` refuses: what alpaqual sets itself, secrets, addresses without a version."""

from __future__ import annotations

import pytest

from alpaqual.errors import RecipeError
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.parse import parse_recipe
from alpaqual.recipe.thinking import THINKING_TOKENS, budget_tokens, refuses_temperature, thinking_tokens

SECRET = "sk-abcdefgh12345678"


def parsed(words: str, model: str = "openai/m") -> Grader:
    text = f"version: 1\nname: t\nsources: [{{path: d.jsonl}}]\ngraders:\n  g: {{model: {model}, {words}}}\ndatasets: {{full: {{}}}}\n"
    return parse_recipe(text, "recipe.yaml").graders["g"]


def problem(words: str, model: str = "openai/m") -> str:
    """The only problem of a grader with these keys."""
    with pytest.raises(RecipeError) as refused:
        parsed(words, model)
    (found,) = refused.value.problems
    return str(found.message)


@pytest.mark.parametrize(
    "words",
    [
        "parameters: {reasoning_effort: low, top_p: 0.9, seed: 7, logit_bias: {50256: -100}}",
        "parameters: {extra_body: {chat_template_kwargs: {enable_thinking: false}, top_k: 20}}",
        "parameters: {extra_body: {extra_body: {google: {thinking_config: {thinking_budget: 0}}}}}",
        "parameters: {prompt_cache_key: grading-of-alpaca, stop_token_ids: [1, 2], models: [a/llama-v3p1-405b-instruct-20250101]}",
        "parameters: {text: {verbosity: low}, service_tier: flex}",
        "headers: {anthropic-beta: context-1m-2025-08-07, HTTP-Referer: 'https://example.org/a/very/long/path/of_some_page_0001'}",
        "headers: {OpenAI-Organization: org-abcdefghijklmnopqrstuvwx, X-Title: A title, x-request-id: 123e4567-e89b-12d3-a456-426614174000}",
        "base_url: 'https://x.openai.azure.com/openai/v1'",
        "base_url: 'https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21'",
        "token_limit: max_output_tokens",
        f"examples: [{{instruction: what is this, response: 'a key: {SECRET}', score: 5}}]",
        "dimension: hf_scores_of_people_2024",
        "scoring: expectation, scale: {min: 1, max: 5}",
    ],
)
def test_what_can_be_sent(words: str) -> None:
    assert parsed(words).model == "openai/m"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *(
            (f"parameters: {{{name}: 1}}", f"'{name}' is set by alpaqual: ")
            for name in (
                "model",
                "messages",
                "stream",
                "n",
                "temperature",
                "max_tokens",
                "max_completion_tokens",
                "response_format",
                "top_logprobs",
                "system",
                "input",
                "extra_headers",
                "timeout",
            )
        ),
        ("parameters: {extra_body: {messages: []}}", "'messages' is set by alpaqual"),
        ("parameters: {extra_body: 3}", "'extra_body' is a mapping"),
        ("parameters: {output_config: {format: {}, effort: low}}", "'output_config.format' is set by alpaqual"),
        ("parameters: {extra_body: {text: {format: {}}}}", "'text.format' is set by alpaqual"),
        ("parameters: {api_key: abc}", "'api_key' looks like a secret"),
        ("parameters: {api_key: abc}", "the environment variable OPENAI_API_KEY"),
        ("api_key_env: MY_KEY", "keys are read from the environment variable OPENAI_API_KEY"),
        ("api_version: 2024-10-21", "unknown key 'api_version': write it in 'base_url', as in ?api-version="),
        (f"parameters: {{extra_body: {{deep: [{{own: '{SECRET}'}}]}}}}", "'own' looks like a secret"),
        ("headers: {Authorization: Bearer x}", "'Authorization' looks like a secret"),
        ("headers: {authorization: Bearer x}", "environment variable OPENAI_API_KEY"),
        ("headers: {x-api-key: x}", "'x-api-key' looks like a secret"),
        ("headers: {api-key: x}", "'api-key' looks like a secret"),
        ("headers: {Ocp-Apim-Subscription-Key: x}", "looks like a secret"),
        ("headers: {cf-aig-authorization: x}", "looks like a secret"),
        ("headers: {X-Auth-Token: x}", "looks like a secret"),
        ("headers: {Cookie: a=b}", "looks like a secret"),
        (f"headers: {{X-Team: '{SECRET}'}}", "'X-Team' looks like a secret"),
        ("headers: {X-Team: 0123456789abcdef0123456789abcdef}", "'X-Team' looks like a secret"),
        ("headers: {X-Team: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_def}", "'X-Team' looks like a secret"),
        ("headers: {Content-Type: text/plain}", "the header 'Content-Type' is set by alpaqual"),
        ("headers: {anthropic-version: '2023-06-01'}", "the header 'anthropic-version' is set by alpaqual"),
        ("headers: {'X Team': a}", "'X Team' is no name of an HTTP header"),
        ('headers: {X-Team: "a\\r\\nX-Other: b"}', "not printable ASCII on one line"),
        ("headers: {X-Team: ü}", "not printable ASCII on one line"),
        ("base_url: 'https://x.example/v1?key=abc'", "'key' in the address looks like a secret"),
        (f"base_url: 'https://x.example/v1?team={SECRET}'", "'team' in the address looks like a secret"),
        ("base_url: 'https://x.openai.azure.com/openai/deployments/d'", "Azure's addresses end in /openai/v1, or"),
        ("headers: {api-key: x}, base_url: 'https://x.openai.azure.com/openai/v1'", "variable AZURE_OPENAI_API_KEY"),
        ("api_key: x", "unknown key 'api_key': keys are read from the environment variable OPENAI_API_KEY (export"),
        ("apikey: x, base_url: 'https://x.openai.azure.com/openai/v1'", "variable AZURE_OPENAI_API_KEY"),
        ("token: x", "unknown key 'token': keys are read from the environment variable OPENAI_API_KEY"),
        ("key: id", "'key' is the column that the rows of 'table' are joined by: leave it out"),
        (f"key: {SECRET}", "'key' looks like a secret"),
        (f"dimension: 'accuracy {SECRET}'", "'dimension' looks like a secret"),
        (f"price: {{input: 1, output: 1}}, health: {{golden: {{file: {SECRET}}}}}", "'file' looks like a secret"),
        (
            "reasoning_effort: low",
            "'reasoning_effort': write it under 'parameters': parameters: {reasoning_effort: low}",
        ),
        ("extra_body: {top_k: 1}", "'extra_body': write it under 'parameters': parameters: {extra_body: …}"),
        ("api_base: 'http://gpu:8000/v1'", "unknown key 'api_base': write 'base_url'"),
        ("parameters: {thinking: {type: enabled, budget_tokens: 500}}, max_tokens: 500", "max_tokens has to be above"),
        ("parameters: {thinking: {type: adaptive}}, temperature: 0.7", "with 'thinking' no temperature is accepted"),
        ("scoring: expectation, mode: batch", "the expectation is not for batches"),
    ],
)
def test_what_is_refused(words: str, message: str) -> None:
    said = problem(words)
    assert message in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("words", "model", "message"),
    [
        ("token_limit: max_completion_tokens", "anthropic/m", "Anthropic's limit is called max_tokens"),
        ("parameters: {top_p: 1}", "local/m", "'parameters' is for servers, and local is in this process"),
        ("headers: {a: b}", "local/m", "'headers' is for servers"),
        ("scoring: expectation", "anthropic/m", "the expectation needs a model's probabilities: use local/PATH, openai/…"),
        ("kind: ifd", "openai/m", "ifd needs a model's probabilities: use local/PATH"),
        ("api_key: a", "anthropic/m", "environment variable ANTHROPIC_API_KEY"),
        ("base_url: 'http://gpu:8000/v1', reply: json", "vllm", "'model' is 'vllm': write provider/name"),
        ("base_url: 'http://gpu:8000/v1'", "local/m", "local/… runs on this machine and has no address: a server is openai/NAME"),
        ("scoring: expectation", "sglang/Qwen/Qwen3-8B", "no provider 'sglang': a server with OpenAI's API is openai/Qwen/Qwen3-8B with its base_url"),
        ("base_url: 'http://gpu:8000/v1'", "vllm/Qwen/Qwen3-8B", "has no address: a server with OpenAI's API is openai/Qwen/Qwen3-8B with its base_url"),
        ("mode: batch", "azure/m", "no provider 'azure': a server with OpenAI's API is openai/m with its base_url, such as https://NAME"),
        ("headers: {x-api-key: a}", "anthropic/m", "environment variable ANTHROPIC_API_KEY"),
    ],
)  # fmt: skip
def test_what_a_provider_cannot_do(words: str, model: str, message: str) -> None:
    assert message in problem(words, model)


@pytest.mark.parametrize("key", ["parameters: {top_p: 1}", "headers: {a: b}", "token_limit: max_tokens"])
def test_they_are_for_graders_that_ask_a_model(key: str) -> None:
    text = f"version: 1\nname: t\nsources: [{{path: d.jsonl}}]\ngraders:\n  g: {{column: s, {key}}}\ndatasets: {{full: {{}}}}\n"
    with pytest.raises(RecipeError, match="is for graders that ask a model"):
        parse_recipe(text, "recipe.yaml")


@pytest.mark.parametrize(
    ("parameters", "tokens"),
    [
        ({}, 0),
        ({"top_p": 0.9}, 0),
        ({"reasoning_effort": "low"}, THINKING_TOKENS),
        ({"reasoning_effort": "none"}, 0),
        ({"reasoning": {"effort": "high"}}, THINKING_TOKENS),
        ({"reasoning": {"max_tokens": 700}}, 700),
        ({"reasoning": {"enabled": False}}, 0),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, 2000),
        ({"thinking": {"type": "adaptive"}}, THINKING_TOKENS),
        ({"thinking": {"type": "disabled"}}, 0),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}, 0),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}, THINKING_TOKENS),
        ({"extra_body": {"enable_thinking": True, "thinking_budget": 300}}, 300),
        ({"thinking": "odd", "reasoning": 3, "chat_template_kwargs": None}, 0),
    ],
)
def test_thinking_gets_space_before_the_answer(parameters: dict[str, object], tokens: int) -> None:
    assert thinking_tokens(parameters) == tokens


def test_thinking_of_anthropic_excludes_a_temperature() -> None:
    on = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert refuses_temperature(on) and refuses_temperature({"thinking": {"type": "adaptive"}})
    assert not refuses_temperature({"thinking": {"type": "disabled"}}) and not refuses_temperature({})
    assert (budget_tokens(on), budget_tokens({"extra_body": on}), budget_tokens({})) == (2000, 2000, 0)
