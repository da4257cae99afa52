"""Checks of what a recipe adds to requests: parameters that alpaqual sets itself, headers and addresses that hold a secret."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from alpaqual.errors import Problem
from alpaqual.recipe.misplaced import server_advice
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.recipe.secrets import is_secret, use_variable
from alpaqual.recipe.thinking import budget_tokens, refuses_temperature
from alpaqual.recipe.yaml_nodes import Document, Path

_PROMPT = "alpaqual writes it from the row and the prompt"
_ONE_REPLY = "a grader reads one whole reply to each request"
_OWNED = {
    "model": "write 'model' of the grader",
    **dict.fromkeys(("messages", "system", "prompt", "input", "instructions", "conversation"), _PROMPT),
    "previous_response_id": _PROMPT,
    **dict.fromkeys(("stream", "stream_options", "n", "best_of", "background"), _ONE_REPLY),
    "temperature": "write 'temperature' beside 'model'",
    **dict.fromkeys(
        ("max_tokens", "max_completion_tokens", "max_output_tokens"),
        "write 'max_tokens' beside 'model', and 'token_limit' for the name that it is sent under",
    ),
    **dict.fromkeys(("response_format", "output_format"), "write 'structured: true' beside 'model'"),
    **dict.fromkeys(("logprobs", "top_logprobs"), "write 'scoring: expectation' beside 'model'"),
    "timeout": "write 'timeout_seconds' beside 'model'",
    "extra_headers": "write 'headers' beside 'model'",
    "extra_query": "write it behind '?' in 'base_url'",
}
"""Parameters that alpaqual sets, and what to write instead."""
_OWNED_INSIDE = (("output_config", "format"), ("text", "format"))
_OWN_HEADERS = ("content-type", "content-length", "transfer-encoding", "host", "accept", "anthropic-version")
_LONG_CODE = re.compile(r"(?<![\w+/-])(?=\w*[0-9])(?=\w*[A-Za-z])[A-Za-z0-9_]{32,}={0,2}(?![\w+/-])")
"""A text as long and as mixed as keys are; parameters may hold such texts."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_QUERY = re.compile(r"[?&]([^=&#]+)=([^&#]*)")
_AZURE = re.compile(r"https?://[^/]+\.(?:openai|cognitiveservices)\.azure\.com(?P<path>[^?#]*)", re.IGNORECASE)
_MAX_DEPTH = 16


def check_requests(settings: ModelSettings, document: Document, place: Path) -> Iterator[Problem]:
    """Problems of `parameters`, `headers`, `token_limit` and the address of a model that is installed."""
    plugin = settings.plugin
    for key in ("parameters", "headers", "token_limit"):
        if getattr(settings, key) and plugin.LOCAL:
            yield document.problem((*place, key), f"'{key}' is for servers, and {settings.provider} is in this process")
    for path, message in _parameters(settings):
        yield document.problem((*place, "parameters", *path), message)
    yield from _thinking(settings, document, place)
    for name, value in settings.headers.items():
        if message := _header_problem(settings, name, value):
            yield document.problem((*place, "headers", name), message)
    if settings.token_limit not in (None, "max_tokens") and settings.provider == "anthropic":
        yield document.problem(
            (*place, "token_limit"), "Anthropic's limit is called max_tokens: leave 'token_limit' out"
        )
    if plugin.LOCAL and settings.base_url is not None:
        server = server_advice(settings.provider, settings.model_name) or "a server is openai/NAME with its base_url"
        message = f"{settings.provider}/… runs on this machine and has no address: {server}"
        yield document.problem((*place, "base_url"), message)
    else:
        yield from _address(settings, document, (*place, "base_url"))


def _parameters(settings: ModelSettings) -> Iterator[tuple[Path, str]]:
    """Where a parameter cannot be sent, and why."""
    variable = use_variable(settings.provider, settings.base_url)
    for path, name, value in _walk(settings.parameters):
        inside = path[1:] if path[0] == "extra_body" else path
        if path == ("extra_body",):
            if not isinstance(value, Mapping):
                yield path, "'extra_body' is a mapping: what it holds is added to the body of each request"
        elif len(inside) == 1 and name in _OWNED:
            yield path, f"'{name}' is set by alpaqual: {_OWNED[name]}"
        elif inside in _OWNED_INSIDE:
            yield path, f"'{'.'.join(map(str, inside))}' is set by alpaqual: {_OWNED['response_format']}"
        elif isinstance(name, str) and isinstance(value, str) and is_secret(name, value):
            yield path, f"'{name}' looks like a secret, and a recipe is no place for one: {variable}"
        elif isinstance(value, float) and not math.isfinite(value):
            yield path, f"'{name}' is {value}, which JSON cannot hold"
        elif len(path) > _MAX_DEPTH:
            yield path, f"nested too deeply: the limit is {_MAX_DEPTH} levels"


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """(path, last name, value) of everything inside a value, the outer first."""
    if len(path) > _MAX_DEPTH:
        return
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield (*path, name), name, inner
        yield from _walk(inner, (*path, name))


def _thinking(settings: ModelSettings, document: Document, place: Path) -> Iterator[Problem]:
    """A limit that leaves no space behind thinking, or a temperature that thinking excludes."""
    budget, limit = budget_tokens(settings.parameters), settings.max_tokens
    if limit is not None and limit <= budget:
        message = (
            f"max_tokens has to be above thinking.budget_tokens ({budget:,}), which count towards it; or leave it out"
        )
        yield document.problem((*place, "max_tokens"), message)
    if refuses_temperature(settings.parameters) and settings.temperature not in (None, 0, 1):
        message = "with 'thinking' no temperature is accepted: leave 'temperature' out"
        yield document.problem((*place, "temperature"), message)


def _header_problem(settings: ModelSettings, name: str, value: str) -> str:
    """Why a header cannot be sent; "" where it can."""
    if not _HEADER_NAME.fullmatch(name):
        return f"'{name}' is no name of an HTTP header"
    if is_secret(name, value) or _LONG_CODE.search(value):
        return f"'{name}' looks like a secret, and a recipe is no place for one: {use_variable(settings.provider, settings.base_url)}"
    if name.lower() in _OWN_HEADERS:
        return f"the header '{name}' is set by alpaqual: leave it out"
    if not _HEADER_VALUE.fullmatch(value):
        return f"the value of '{name}' is not printable ASCII on one line"
    return ""


def _address(settings: ModelSettings, document: Document, place: Path) -> Iterator[Problem]:
    """A secret in an address, or an address of Azure without the version of its API."""
    address = settings.base_url or ""
    for name, value in _QUERY.findall(address):
        if is_secret(name, value):
            message = (
                f"'{name}' in the address looks like a secret: {use_variable(settings.provider, settings.base_url)}"
            )
            yield document.problem(place, message)
    azure = _AZURE.match(address)
    if azure and not azure["path"].rstrip("/").endswith("/v1") and "api-version=" not in address:
        message = (
            "Azure's addresses end in /openai/v1, or have a version: …/openai/deployments/NAME?api-version=2024-10-21"
        )
        yield document.problem(place, message)
