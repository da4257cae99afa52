"""`alpaqual check`."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from alpaqual.cli.options import json_option, quiet_option, recipe_argument, sets_option

if TYPE_CHECKING:
    from alpaqual.recipe.recipe import Recipe


@click.command()
@recipe_argument
@sets_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "github"]),
    default="text",
    help="text, or github for GitHub workflow commands.",
)
@json_option
@quiet_option("Print nothing if the recipe is good.")
def check(recipe: Path, sets: tuple[str, ...], kind: str, as_json: bool, quiet: bool) -> int:
    """Check RECIPE and the rules it names; report every problem with file, line and column.

    No data is read.
    """
    from alpaqual.errors import EXIT_GOOD, RecipeError
    from alpaqual.report.escape import command_message, command_property

    try:
        read = _read(recipe, sets)
    except RecipeError as error:
        if as_json:
            problems = [
                {"file": p.file, "line": p.line, "column": p.column, "message": p.message} for p in error.problems
            ]
            click.echo(json.dumps({"problems": problems}, ensure_ascii=False))
            return error.exit_code
        if kind == "github":
            for p in error.problems:
                click.echo(
                    f"::error file={command_property(p.file)},line={p.line},col={p.column}::{command_message(p.message)}"
                )
            return error.exit_code
        raise
    if as_json:
        click.echo(json.dumps({"problems": []}))
    elif not quiet:
        counts = {
            "source": len(read.sources),
            "rule": len(read.rules),
            "category": len(read.categories),
            "grader": len(read.text.graders),
            "dataset": len(read.datasets),
        }
        click.echo(f"{recipe}: good ({', '.join(_count(number, noun) for noun, number in counts.items())})")
    return EXIT_GOOD


def _read(recipe: Path, sets: tuple[str, ...]) -> Recipe:
    """Read the recipe without collecting garbage: what is imported and read stays, and the search takes time.

    Raises RecipeError.
    """
    gc.disable()
    try:
        from alpaqual.recipe.parse import read_recipe

        return read_recipe(recipe, sets)
    finally:
        gc.enable()


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
