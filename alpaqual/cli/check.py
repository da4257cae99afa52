"""`alpaqual check`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from alpaqual.cli.options import find_recipe, json_option, quiet_option, recipe_argument, sets_option


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
@quiet_option
def check(recipe: Path, sets: tuple[str, ...], kind: str, as_json: bool, quiet: bool) -> int:
    """Check RECIPE and the rules it names without reading data; list every problem with file, line and column."""
    from alpaqual.errors import EXIT_GOOD, RecipeError
    from alpaqual.recipe.parse import read_recipe
    from alpaqual.report.escape import command_message, command_property

    try:
        read = read_recipe(find_recipe(recipe), sets)
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
        parts = [
            f"{len(read.sources)} sources",
            f"{len(read.rules)} rules",
            f"{len(read.categories)} categories",
        ]
        click.echo(
            f"{recipe}: good ({', '.join([*parts, f'{len(read.graders)} graders', f'{len(read.datasets)} datasets'])})"
        )
    return EXIT_GOOD
