"""`alpaqual rows`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from alpaqual.cli.options import LazyChoice, run_argument


def _fates() -> Sequence[str]:
    from alpaqual.values import Fate

    return [fate.value for fate in Fate]


@click.command()
@run_argument
@click.option("--dataset", help="Rows of this dataset.")
@click.option("--category", help="Rows in this category.")
@click.option("--fate", type=LazyChoice(_fates), help="Rows with this fate.")
@click.option("--rule", help="Rows that fail this rule.")
@click.option("--id", "row_id", help="The row with this id, or rows whose ids start with it.")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Most rows to show; 0 shows all.")
@click.option("--format", "kind", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def rows(  # noqa: PLR0913 - one argument for each option of the command
    run: Path,
    dataset: str | None,
    category: str | None,
    fate: str | None,
    rule: str | None,
    row_id: str | None,
    limit: int,
    kind: str,
) -> int:
    """Show which rows of a finished RUN were kept or not, and why."""
    from alpaqual import api

    finished = api.open_run(run)
    found = finished.rows(dataset=dataset, category=category, fate=fate, rule=rule, row_id=row_id, limit=limit or None)
    {"table": _table, "csv": _csv, "json": _json}[kind](found)
    return 0


def _json(found: list[dict[str, Any]]) -> None:
    click.echo(json.dumps(found, indent=1, ensure_ascii=False))


def _csv(found: list[dict[str, Any]]) -> None:
    import csv
    import io

    if not found:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    writer.writeheader()
    for row in found:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    click.echo(text.getvalue(), nl=False)


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet runs as a formula."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _table(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from alpaqual.report.escape import shorten, visible

    if not found:
        click.echo("no rows")
        return
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for heading in ("row", "dataset", "fate", "scores", "categories"):
        table.add_column(heading, no_wrap=heading != "categories")
    for heading in ("why", "instruction", "input", "response"):
        table.add_column(heading, ratio=2 if heading == "response" else 1, overflow="fold")
    for row in found:
        scores = [
            f"{grader} {'–' if score is None else format(score, 'g')}"
            for grader, score in (row.get("scores") or {}).items()
        ]
        lines = [
            "\n".join(scores),
            "\n".join(shorten(category, _TEXT) for category in row.get("categories") or ()),
            "\n".join(row["reasons"]),
        ]
        texts = [shorten(row[field] or "", _TEXT) for field in ("instruction", "input", "response")]
        # Text objects: text of a row is never interpreted as markup.
        table.add_row(*(Text(visible(cell)) for cell in (row["id"], row["dataset"], row["fate"], *lines, *texts)))
    # rich ends the process with exit code 1 where the reader closed the pipe, and 1 means that the data failed.
    with console.capture() as shown:
        console.print(table)
    # In the log of a GitHub workflow a line that starts with `::` or `##[` is a command, also after spaces.
    click.echo(re.sub(r"(?m)^( *) (?=::|##\[)", r"\1│", shown.get()), nl=False)


_WIDTH = 220
_TEXT = 240
