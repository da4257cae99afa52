"""Keys that a recipe has in the wrong place, and where they belong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpaqual.fields import CONVERSATION_FIELDS, ROW_FIELDS
from alpaqual.recipe.secrets import is_secret_name, use_environment
from alpaqual.recipe.yaml_nodes import Path

_PARAMETERS = (
    "chat_template_kwargs",
    "effort",
    "enable_thinking",
    "extra_body",
    "frequency_penalty",
    "logit_bias",
    "metadata",
    "min_p",
    "output_config",
    "presence_penalty",
    "provider",
    "reasoning",
    "reasoning_effort",
    "repetition_penalty",
    "safety_settings",
    "seed",
    "service_tier",
    "stop",
    "stop_sequences",
    "store",
    "thinking",
    "thinking_budget",
    "thinking_config",
    "top_k",
    "top_p",
    "user",
    "verbosity",
)
"""Parameters of requests that people write beside `model`."""
_KEYS = ("token", "keys", "api_key_env", "api_key_var", "api_keys", "key_env", "key_file")
_ADDRESSES = (
    "address",
    "api_base",
    "api_url",
    "azure_endpoint",
    "endpoint",
    "host",
    "openai_api_base",
    "server",
    "url",
)
_HEADERS = ("default_headers", "extra_headers", "http_headers")
_SERVERS = {
    "azure": "https://NAME.openai.azure.com/openai/v1",
    "azure_openai": "https://NAME.openai.azure.com/openai/v1",
    "llama_cpp": "http://localhost:8080/v1",
    "llamacpp": "http://localhost:8080/v1",
    "lmstudio": "http://localhost:1234/v1",
    "ollama": "http://localhost:11434/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "sglang": "http://localhost:30000/v1",
    "together": "https://api.together.xyz/v1",
    "tgi": "http://localhost:8080/v1",
    "vllm": "http://localhost:8000/v1",
}
"""Servers with OpenAI's API that people name as a provider, and an address of each."""
_FIELDS = {"id", *ROW_FIELDS, *CONVERSATION_FIELDS}
_LONGEST = 60


def advice(path: Path, key: str, holder: Mapping[str, Any]) -> str:
    """What to write in place of an unknown key; "" where nothing is known. `holder` is the mapping at `path`, which has it."""
    where = path[0] if path else ""
    if not path and is_secret_name(key):
        return use_environment({})
    if where == "graders" and len(path) == 2:
        return _in_grader(key, holder)
    if where == "sources" and len(path) == 2 and key in _FIELDS:
        column = holder[key] if isinstance(holder[key], str) else "COLUMN"
        return f"write it under 'fields': fields: {{{key}: {column[:_LONGEST]}}}"
    if "where" in holder and not key.replace("_", "").replace("-", "").isalnum():
        return "it looks like a part of 'where': put the expression in quotes"
    return ""


def _in_grader(key: str, grader: Mapping[str, Any]) -> str:
    name = key.lower().replace("-", "_")
    if (is_secret_name(key) or name in _KEYS) and not isinstance(grader[key], int):
        return use_environment(grader)
    if name in _PARAMETERS:
        value = grader[key]
        shown = value if isinstance(value, str | int | float) and not isinstance(value, bool) else "…"
        return f"write it under 'parameters': parameters: {{{key}: {str(shown)[:_LONGEST]}}}"
    if name in _ADDRESSES:
        return "write 'base_url'"
    if name == "api_version":
        return "write it in 'base_url', as in ?api-version=2024-10-21"
    if name in _HEADERS:
        return "write 'headers'"
    return ""


def server_advice(provider: str, model: str) -> str:
    """What to write for a server that is named as a provider; "" for a provider that is none."""
    address = _SERVERS.get(provider)
    return f"a server with OpenAI's API is openai/{model} with its base_url, such as {address}" if address else ""
