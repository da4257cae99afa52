"""`alpaqual replies`: the ledger of paid replies in `.alpaqual/replies/`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alpaqual.cli.options import json_option

if TYPE_CHECKING:
    from alpaqual.store.replies import ModelReplies, Summary, Totals

_place = click.argument("place", metavar="[RECIPE|FOLDER]", type=click.Path(path_type=Path), required=False)
_models = click.option("--model", "models", multiple=True, help="Model id, as `replies show` prints it; repeatable.")


@click.group()
def replies() -> None:
    """Show, compact, export or prune the ledger of paid replies.

    It is `.alpaqual/replies/` of the project of RECIPE or FOLDER; by default, of the current directory.
    """


@replies.command()
@_place
@json_option
def show(place: Path | None, as_json: bool) -> int:
    """Show replies, tokens and cost of each model, and the files."""
    from alpaqual.store.replies import summarize

    found = summarize(_folder(place))
    if as_json:
        # In ASCII: a model's name comes from a server, and may contain terminal escape sequences.
        click.echo(json.dumps(_json(found), indent=1))
    elif not found.files:
        click.echo(f"no replies in {_shown(found.folder)}")
    else:
        _print(found)
    return 0


@replies.command()
@_place
def compact(place: Path | None) -> int:
    """Merge the files into one with one entry per key, sorted by key, so that a diff shows new replies.

    A file that a run is writing is not changed. No reply is lost if the command is killed; run it again.
    """
    from alpaqual.store.rewriting import COMPACTED, compact

    folder = _folder(place)
    done = compact(folder)
    if not done.files:
        click.echo(f"no replies in {_shown(folder)}")
        return 0
    left_out = f"left out: {_count(done.duplicates, 'duplicate')}, {_count(done.torn, 'torn last line')}"
    click.echo(f"{_count(done.merged, 'file')} -> {COMPACTED}: {_count(done.replies, 'reply')}; {left_out}")
    for name in done.written:
        click.echo(f"not changed, since a run is writing it: {_shown(name)}")
    return 0


@replies.command()
@click.argument("place", metavar="RECIPE|FOLDER", type=click.Path(path_type=Path))
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@_models
def export(place: Path, target: Path, models: tuple[str, ...]) -> int:
    """Write the replies into FILE for a grader with `model: recorded/FILE`; the same replies give the same bytes."""
    from alpaqual.store.rewriting import export_replies

    sums = export_replies(_folder(place), target, models)
    click.echo(f"{_shown(target)}: {_count(sums.replies, 'reply')} ({_cost(sums)})")
    return 0


@replies.command()
@_place
@_models
@click.option("--key", "keys", multiple=True, help="Key of the request; repeatable.")
@click.option("-y", "--yes", is_flag=True, help="Delete without confirmation.")
def prune(place: Path | None, models: tuple[str, ...], keys: tuple[str, ...], yes: bool) -> int:
    """Delete the named replies; a run that needs them sends and pays for the requests again.

    Prints their number and cost and asks for confirmation. Exits with 4 where a run is writing a file that holds some.
    """
    from alpaqual.errors import EXIT_GOOD, EXIT_STAGE
    from alpaqual.store.rewriting import find_named, prune

    folder = _folder(place)
    named = find_named(folder, models, keys)
    click.echo(f"{_shown(folder)}: {_count(named.sums.replies, 'reply')} named ({_cost(named.sums)})")
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("deletion needs a confirmation, and there is no terminal: add --yes")
    if not yes and not click.confirm("Delete them for good?"):
        click.echo("nothing was deleted")
        return EXIT_GOOD
    done = prune(folder, models, keys, named)
    click.echo(f"deleted: {_count(done.sums.replies - done.held, 'reply')}")
    if done.held:
        click.echo(f"not deleted: {_count(done.held, 'reply')} in a file that a run is writing; prune again", err=True)
    return EXIT_STAGE if done.held else EXIT_GOOD


def _folder(place: Path | None) -> Path:
    from alpaqual.recipe.library import find_recipe
    from alpaqual.store.replies import replies_folder

    return replies_folder(None if place is None else find_recipe(place))


def _shown(text: object) -> str:
    from alpaqual.report.escape import shorten, visible

    return visible(shorten(str(text), 200))


def _count(number: int, name: str) -> str:
    plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return f"{number:,} {name if number == 1 else plural}"


def _cost(sums: Totals) -> str:
    return "at an unknown cost" if sums.cost_usd is None else f"${sums.cost_usd:,.4f}"


def _json(found: Summary) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(found) | {"folder": str(found.folder)}


def _print(found: Summary) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    click.echo(f"{_shown(found.folder)}: {_count(len(found.files), 'file')}, {found.bytes:,} bytes")
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in _TEXTS else "right", overflow="fold")
    for model in found.models:
        # Text objects: a server's model name is never parsed as markup.
        table.add_row(*(Text(cell) for cell in _cells(model)))
    with console.capture() as shown:
        console.print(table)
    # GitHub Actions runs a log line that starts with :: or ##[ as a workflow command.
    click.echo(re.sub(r"(?m)^( *)(?=::|##\[)", r"\1│", shown.get()), nl=False)
    if found.lost:
        entries = "1 entry" if found.lost == 1 else f"{found.lost:,} entries"
        click.echo(f"requests without a reply count ${found.lost_usd:,.4f} against budgets: {entries} in lost/")
    for name in found.torn:
        click.echo(f"ends in half a line, which is ignored: {_shown(name)}")
    for name in found.written:
        click.echo(f"a run is writing it: {_shown(name)}")


def _cells(model: ModelReplies) -> list[str]:
    sums = model.counted
    numbers = ["–" if tokens is None else f"{tokens:,}" for tokens in (sums.input_tokens, sums.output_tokens)]
    cost = "–" if sums.cost_usd is None else f"${sums.cost_usd:,.4f}"
    sizes = [f"{model.duplicates.replies:,}", f"{model.bytes:,}"]
    files = [_shown(name) for name in (model.first_file, model.last_file)]
    return [_shown(model.model), f"{sums.replies:,}", *numbers, cost, *sizes, *files]


_HEADINGS = (
    "model",
    "replies",
    "input tokens",
    "output tokens",
    "cost",
    "duplicates",
    "bytes",
    "first file",
    "last file",
)
_TEXTS = ("model", "first file", "last file")
_WIDTH = 220
