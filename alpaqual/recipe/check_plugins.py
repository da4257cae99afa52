"""The plug-ins of the checks that a rule can name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from alpaqual.contracts import Check
from alpaqual.registry import find, names


@cache
def check_plugins() -> Mapping[str, Check]:
    """Every check by name, our own and those of other packages."""
    return {name: find("checks", name)() for name in names("checks")}
