"""The door: the group of commands, and errors turned into a message and an exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

from alpaqual import __version__
from alpaqual.cli.check import check
from alpaqual.cli.init import init
from alpaqual.cli.plan import plan
from alpaqual.cli.replies import replies
from alpaqual.cli.report import report
from alpaqual.cli.rows import rows
from alpaqual.cli.run import run
from alpaqual.cli.schema import schema
from alpaqual.errors import EXIT_STAGE, AlpaqualError, RecipeError


class _Door(click.Group):
    """Ends what click would end in its own way: a reader that went away with 1, Control-C with an empty line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None
        except BrokenPipeError:
            # Whoever read our output has gone: there is nobody to tell, and what is left of it goes nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere, stream.fileno())
            sys.exit(141)


@click.group(cls=_Door, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="alpaqual")
def cli() -> None:
    """Decide which instruction-tuning rows to train on, and show why.

    Exit codes: 0 good data (warnings allowed), 1 the data is not good, 2 the recipe is wrong, 3 this machine lacks
    something, 4 a stage failed (what was done is kept; run again and it goes on).
    """


for _command in (init, check, plan, run, report, rows, replies, schema):
    cli.add_command(_command)


def _tell(error: AlpaqualError) -> None:
    """One line for each problem: the name of a column, which is data, may not start a line of its own."""
    from alpaqual.report.escape import visible

    for line in [str(p) for p in error.problems] if isinstance(error, RecipeError) else [str(error)]:
        click.echo(visible(" ".join(line.split("\n")).replace("\r", " ")), err=True)


def main() -> None:
    """Run the command line; never returns."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Texts are UTF-8 wherever they go; a terminal that cannot show a character shows its code.
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; what was done is kept, run again and it goes on", err=True)
        sys.exit(130)
    except AlpaqualError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        # A folder that is a file, a disk that is full: the person's to mend, and no bug.
        click.echo(f"{error.filename}: {error.strerror}", err=True)
        sys.exit(EXIT_STAGE)
    sys.exit(code if isinstance(code, int) else 0)
