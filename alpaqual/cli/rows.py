"""`alpaqual rows`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from alpaqual.cli.options import CheckedLater, run_argument


def _fates() -> Sequence[str]:
    from alpaqual.values import Fate

    return [fate.value for fate in Fate]


@click.command()
@run_argument
@click.option("--dataset", help="Rows of this dataset.")
@click.option("--category", help="Rows in this category.")
@click.option("--fate", type=CheckedLater(_fates), help="Rows with this fate.")
@click.option("--rule", help="Rows that fail this rule.")
@click.option(
    "--id",
    "row_id",
    help="Rows with this id of the data, the row with this row id, or rows whose row ids start with it.",
)
@click.option("--limit", type=int, default=20, show_default=True, help="Most rows to show; 0 shows all.")
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
    # One more than are shown says whether there are more.
    asked = limit + 1 if limit > 0 else limit or None
    found = finished.rows(dataset=dataset, category=category, fate=fate, rule=rule, row_id=row_id, limit=asked)
    more = bool(limit) and len(found) > limit
    found = found[:limit] if more else found
    unread = finished.results.source.quarantined
    if row_id is not None and not found and unread:
        text = f"no row has this id; {unread:,} rows could not be read: see {run / 'tables' / 'quarantine.parquet'}"
        click.echo(text, err=True)
    {"table": _table, "csv": _csv, "json": _json}[kind](found)
    if more:
        click.echo(f"the first {limit:,} are shown: --limit 0 shows all", err=True)
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
    from alpaqual.cli.cards import cards, terminal_width

    click.echo("\n".join(cards(found, terminal_width())) if found else "no rows\n", nl=False)
