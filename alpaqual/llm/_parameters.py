"""Merges a recipe's parameters into the body of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpaqual.values import Request


def with_parameters(body: dict[str, Any], request: Request) -> dict[str, Any]:
    """The body with the recipe's parameters over it; mappings are merged, and `extra_body` is added to the body itself."""
    given = request.parameters.get("parameters")
    if not given:
        return body
    extra = given.get("extra_body") or {}
    own = {name: value for name, value in given.items() if name != "extra_body"}
    return merged(merged(body, own), extra)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings as one; where both have a mapping, these are merged too, else the second decides."""
    found = dict(under)
    for name, value in over.items():
        before = found.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            found[name] = merged(before, value)
        else:
            found[name] = value
    return found
