"""`alpaqual schema`."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("kind", type=click.Choice(["recipe", "rules", "category", "results"]), default="recipe")
def schema(kind: str) -> None:
    """Print the JSON Schema (draft-07) of a recipe, a rules file, a category file or results.json."""
    from typing import cast

    from alpaqual.recipe.schema import Kind, json_schema
    from alpaqual.results.results import results_schema

    found = results_schema() if kind == "results" else json_schema(cast("Kind", kind))
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))
