"""`alpaqual report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from alpaqual.cli.options import LazyChoice, run_argument


def _format_names() -> Sequence[str]:
    from alpaqual.report.formats import format_names

    return format_names()


@click.command()
@run_argument
@click.option(
    "--format",
    "kind",
    type=LazyChoice(_format_names),
    default="md",
    show_default=True,
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to a file instead of printing.",
)
def report(run: Path, kind: str, output: Path | None) -> int:
    """Write the report of a finished RUN (its folder) without running anything. Exits as the run did."""
    from alpaqual import api

    finished = api.open_run(run)
    text = api.render(finished.report(), kind)
    if output is None:
        click.echo(text, nl=False)
    else:
        from alpaqual.store.store import write_whole

        write_whole(output, text)
    return finished.exit_code
