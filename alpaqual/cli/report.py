"""`alpaqual report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from alpaqual.cli.options import LazyChoice, run_argument

_DEFAULT = "md"


def _format_names() -> Sequence[str]:
    from alpaqual.report.formats import format_names

    return format_names()


def _kind_of(output: Path | None) -> str:
    """The format that writes files with this ending, or that is called like it; md for others."""
    from alpaqual.report.formats import format_names, report_files

    ending = "" if output is None else output.suffix.lower()
    of_endings = {Path(file).suffix: name for name, file in report_files().items()}
    return of_endings.get(ending) or (ending[1:] if ending[1:] in format_names() else _DEFAULT)


@click.command()
@run_argument
@click.option(
    "--format",
    "kind",
    type=LazyChoice(_format_names),
    help="Left out: by the ending of the output file (.html, .json, .xml for junit), else md.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to a file instead of printing.",
)
def report(run: Path, kind: str | None, output: Path | None) -> int:
    """Write the report of a finished RUN (its folder) without running anything. Exits as the run did."""
    from alpaqual import api

    finished = api.open_run(run)
    text = api.render(finished.report(), kind or _kind_of(output))
    if output is None:
        click.echo(text, nl=False)
    else:
        from alpaqual.store.store import write_whole

        write_whole(output, text)
    return finished.exit_code
