"""Checks of a model's settings that a JSON Schema cannot make: whether its provider is installed and can do what is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from alpaqual.errors import Problem
from alpaqual.recipe.misplaced import server_advice
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.recipe.unknown import alternatives
from alpaqual.recipe.yaml_nodes import Document, Path
from alpaqual.registry import find, names

_ADDRESS = re.compile(r"https?://[^/\s]+")


def check_model(settings: ModelSettings, document: Document, place: Path) -> Iterator[Problem]:
    """Problems of a model's settings, for graders and other users of models."""
    if settings.model is None:
        return
    if settings.base_url is not None and not _ADDRESS.match(settings.base_url):
        guess = f"http://{settings.base_url.partition('://')[2] or settings.base_url}"
        yield document.problem((*place, "base_url"), f"an address starts with http:// or https://, as in {guess}")
    plugin = installed("llm", settings.provider)
    if plugin is None:
        server = server_advice(settings.provider, settings.model_name)
        other = f": {server}" if server else alternatives("llm", settings.provider)
        yield document.problem((*place, "model"), f"no provider '{settings.provider}'{other}")
    elif settings.mode == "batch" and not plugin.BATCH_REQUESTS and not plugin.RECORDED:
        message = f"{settings.provider} has no batch API; there are: {_providers('BATCH_REQUESTS')}"
        yield document.problem((*place, "mode"), message)
    if plugin is not None and (settings.parameters or settings.headers or settings.token_limit or settings.base_url):
        from alpaqual.recipe.crosscheck_requests import check_requests

        yield from check_requests(settings, document, place)


def computes_probabilities(settings: ModelSettings) -> bool:
    """Whether the provider computes log-probabilities; a recording may hold them, and an unknown provider is another problem."""
    plugin = installed("llm", settings.provider)
    return plugin is None or plugin.PROBABILITIES or plugin.RECORDED


def gives_expectations(settings: ModelSettings) -> bool:
    """Whether the provider gives the probabilities of scores, as servers with `logprobs` do."""
    return computes_probabilities(settings) or _gives_expectations(installed("llm", settings.provider))


def follows_schemas(settings: ModelSettings) -> bool:
    """Whether the provider's replies follow a JSON Schema; a recording may hold such replies."""
    plugin = installed("llm", settings.provider)
    return plugin is None or plugin.STRUCTURED or plugin.RECORDED


def with_probabilities() -> str:
    """The providers that compute log-probabilities, as they are written in a recipe."""
    return _providers("PROBABILITIES", "/PATH")


def with_expectations() -> str:
    """The providers that give the probabilities of scores."""
    found = [name for name in names("llm") if _gives_expectations(find("llm", name))]
    return ", ".join([with_probabilities(), *(f"{name}/…" for name in found)])


def _gives_expectations(plugin: Any) -> bool:
    # Plug-ins of other packages may lack the attribute.
    return bool(getattr(plugin, "EXPECTATIONS", False))


def installed(kind: str, name: str) -> Any:
    """The class of a plug-in; None where it is not installed. Raises MachineError where it cannot be used."""
    return find(kind, name) if name in names(kind) else None


def _providers(attribute: str, suffix: str = "") -> str:
    return ", ".join(f"{name}{suffix}" for name in names("llm") if getattr(find("llm", name), attribute))
