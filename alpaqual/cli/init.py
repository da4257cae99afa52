"""`alpaqual init`."""

from __future__ import annotations

import re
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--name", help="Name of the recipe; by default the folder's name.")
@click.option(
    "--source", default="data/train.jsonl", show_default=True, help="Path of the data, relative to the folder."
)
def init(folder: Path, name: str | None, source: str) -> int:
    """Start a project in FOLDER: a recipe, rules, editor schemas and a pull-request workflow.

    Existing files are kept.
    """
    from alpaqual.recipe.scaffold import scaffold
    from alpaqual.types import NAME

    called = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-._") or "data"
    if not re.match(NAME, called):
        raise click.BadParameter("a name is made of letters, digits, '_', '.' and '-'", param_hint="--name")
    for path, text in scaffold(called, source).items():
        target = folder / path
        if target.exists():
            click.echo(f"kept     {target}")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        click.echo(f"written  {target}")
    click.echo(f"next: put your data at {folder / source}, then: alpaqual run {folder / 'recipe.yaml'}")
    return 0
