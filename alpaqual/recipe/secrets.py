"""Secrets in a recipe: names and values that look like one, and the environment variable that holds the key instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from alpaqual.recipe.yaml_nodes import Path, walk_values

# Patterns are compiled at their first use: most recipes need none of them.
_SECRET_NAME = (
    r"(?:^|[-_.])(?:authorization|auth|apikey|secret|password|passwd|credentials?|cookie|bearer|signature|sig)$"
    r"|(?:^|(?:^|[-_.])(?:api|access|secret|private|subscription|auth|account)[-_]?)key$"
    r"|(?:^|(?:^|[-_.])(?:x|api|access|auth|bearer|session|refresh|security|id)[-_]?)token$"
)
_SECRET_VALUE = (
    r"^(?:Bearer|Basic|Token)\s"
    r"|(?:^|[\s=:;,\"'])(?:(?:sk|pk|rk)[-_]|gsk_|xai-|AIza|ghp_|gho_|github_pat_|hf_|AKIA|ya29\.|eyJ[\w-]{8,}\.)[\w.-]{8,}"
)
_KEY = (
    r"(?:^|[\s=:;,\"'])(?:(?:sk|pk|rk)-[\w-]{12,}|(?:(?:sk|pk|rk)_(?:live|test)_|gsk_|xai-|AIza|ghp_|gho_|hf_|AKIA)[A-Za-z0-9-]{16,}"
    r"|github_pat_\w{20,})(?![\w.])"
)
"""What providers give out as keys, and neither a file nor a column is called."""
_TEXTS = ("examples", "levels")
"""Keys of a grader that hold texts of rows."""
_AZURE = r"https?://[^/]+\.azure\.com(?:[:/?]|$)"


def is_secret_name(name: str) -> bool:
    """Whether a name is that of a secret, as `api_key` is."""
    return re.search(_SECRET_NAME, name, re.IGNORECASE) is not None


def is_secret(name: str, value: str) -> bool:
    """Whether a pair of a name and a value looks like a secret."""
    return is_secret_name(name) or re.search(_SECRET_VALUE, value) is not None


def use_variable(provider: str = "", address: str | None = None) -> str:
    """The environment variable of the key, by provider and `base_url`, as a clause for messages."""
    return f"the key is read from the environment variable {_variable(provider, address)}"


def _variable(provider: str, address: str | None) -> str:
    if provider not in ("openai", "anthropic"):
        return "of the provider's key"
    azure = provider == "openai" and address is not None and re.match(_AZURE, address, re.IGNORECASE)
    return f"{'AZURE_' if azure else ''}{provider.upper()}_API_KEY"


def use_environment(grader: Any) -> str:
    """Where the key of a grader (a mapping as it is written) belongs, for messages."""
    model, address = (str(grader.get(key) or "") for key in ("model", "base_url"))
    provider = model.partition("/")[0]
    if provider not in ("openai", "anthropic"):
        return "keys are read from environment variables (OPENAI_API_KEY, ANTHROPIC_API_KEY, AZURE_OPENAI_API_KEY)"
    variable = _variable(provider, address)
    return f"keys are read from the environment variable {variable} (export {variable}=… before the run)"


def values_like_keys(grader: Any) -> Iterator[tuple[Path, str]]:
    """(path inside the grader, last name) of each text that looks like a key; `crosscheck_requests` checks headers, parameters and address."""
    for path, value in walk_values(grader):
        if not path or path[0] in (*_TEXTS, "parameters", "headers", "base_url") or not isinstance(value, str):
            continue
        if re.search(_KEY, value):
            yield path, str(path[-1])
