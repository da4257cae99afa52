"""Decide which instruction-tuning rows to train on, and show why.

`run` runs a recipe. Its steps are also available one by one: `parse_recipe` (text -> Recipe), `compile_plan`
(Recipe -> Plan), `execute` (Plan -> Run), `build_report` (Run -> Report), `to_markdown`, `to_html`, `to_junit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alpaqual.version import __version__

__all__ = [
    "Plan",
    "Recipe",
    "Report",
    "Run",
    "__version__",
    "build_report",
    "compile_plan",
    "execute",
    "open_run",
    "pandera_schema",
    "parse_recipe",
    "plan_recipe",
    "push",
    "read_recipe",
    "run",
    "to_html",
    "to_junit",
    "to_markdown",
]

if TYPE_CHECKING:
    from alpaqual.api import (
        Plan,
        Recipe,
        Report,
        Run,
        build_report,
        compile_plan,
        execute,
        open_run,
        pandera_schema,
        parse_recipe,
        plan_recipe,
        push,
        read_recipe,
        run,
        to_html,
        to_junit,
        to_markdown,
    )


def __getattr__(name: str) -> Any:
    if name in __all__:
        from alpaqual import api

        return getattr(api, name)
    raise AttributeError(f"module 'alpaqual' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
