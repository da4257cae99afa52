"""`alpaqual init`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--name", help="Name of the recipe; by default the folder's name.")
@click.option(
    "--source", default="data/train.jsonl", show_default=True, help="Path of the data, relative to the folder."
)
def init(folder: Path, name: str | None, source: str) -> int:
    """Start a project in FOLDER: a recipe, rules, editor schemas and a pull-request workflow.

    Existing files are kept. In a git repository, `.alpaqual/` and `.github/` are written at its top, where runs have them too.
    """
    from alpaqual.recipe.scaffold import scaffold
    from alpaqual.store.store import IGNORE, project_folder
    from alpaqual.types import NAME

    called = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-._") or "data"
    if not re.match(NAME, called):
        raise click.BadParameter("a name is made of letters, digits, '_', '.' and '-'", param_hint="--name")
    own = folder.resolve()
    project = project_folder(folder / "recipe.yaml")
    files = scaffold(called, source, PurePosixPath(own.relative_to(project).as_posix()))
    for path, text in {**files, ".alpaqual/.gitignore": IGNORE}.items():
        target = project / path
        target = folder / target.relative_to(own) if target.is_relative_to(own) else target
        if target.exists():
            click.echo(f"kept     {target}")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        click.echo(f"written  {target}")
    if project != own:
        click.echo(f"the project is {project}, which has a .git: runs/ and .alpaqual/ are there")
    click.echo(f"next: put your data at {folder / source}, then: alpaqual run {folder / 'recipe.yaml'}")
    return 0
