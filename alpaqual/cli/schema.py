"""`alpaqual schema`."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("kind", type=click.Choice(["recipe", "rules", "category", "results", "conversation"]), default="recipe")
def schema(kind: str) -> None:
    """Print the JSON Schema of a recipe, a rules file, a category file, results.json or a conversation.

    That of a conversation, {messages, tools}, is of draft 2020-12, the others are of draft-07.
    """
    from typing import cast

    from alpaqual.conversation.json_schema import SCHEMA
    from alpaqual.recipe.schema import Kind, json_schema
    from alpaqual.results.results import results_schema

    if kind == "conversation":
        found = SCHEMA
    else:
        found = results_schema() if kind == "results" else json_schema(cast("Kind", kind))
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))
