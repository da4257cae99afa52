"""Arguments and options shared by several commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


class LazyChoice(click.ParamType):  # type: ignore[type-arg] # generic in new versions of click
    """Like `click.Choice`, but loads its choices on use: `alpaqual --help` stays fast."""

    name = "choice"

    def __init__(self, load: Callable[[], Sequence[str]]) -> None:
        self.load = load

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return f"[{'|'.join(self.load())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.Choice(self.load()).convert(value, param, ctx)


class CheckedLater(LazyChoice):
    """Shows its choices in the help; the API checks the value, so that Python code gets the same message."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value


def stage_kinds() -> Sequence[str]:
    """Return the kinds of stages in the order in which they run."""
    from alpaqual.plan.stages import STAGES

    return STAGES


recipe_argument = click.argument("recipe", type=click.Path(path_type=Path))
run_argument = click.argument("run", type=click.Path(path_type=Path))
sets_option = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value of the recipe, as in datasets.quality.threshold.accuracy=4; repeatable.",
)
offline_option = click.option("--offline", is_flag=True, help="Do not use the network.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def quiet_option(effect: str) -> Callable[[_Command], _Command]:
    """The option `--quiet`; `effect` is its help text."""
    return click.option("-q", "--quiet", is_flag=True, help=effect)
