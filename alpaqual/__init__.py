"""alpaqual: decide which instruction-tuning rows to train on, and show why.

Text becomes a Recipe, a Recipe a Plan, a Plan a Run, a Run a Report, a Report text: one verb for each step
(`parse_recipe`, `compile_plan`, `execute`, `build_report`, `to_markdown`), and `run` for the whole way.
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
    "pandera_schema",
    "parse_recipe",
    "plan_recipe",
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
        pandera_schema,
        parse_recipe,
        plan_recipe,
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
