"""The `alpaqual` command: its subcommands, and errors as a message and an exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Any

import click

from alpaqual import __version__
from alpaqual.cli.check import check
from alpaqual.cli.compare_graders import compare_graders
from alpaqual.cli.import_judgements import import_judgements
from alpaqual.cli.init import init
from alpaqual.cli.plan import plan
from alpaqual.cli.push import push
from alpaqual.cli.replies import replies
from alpaqual.cli.report import report
from alpaqual.cli.rows import rows
from alpaqual.cli.run import run
from alpaqual.cli.schema import schema
from alpaqual.errors import (
    EXIT_INTERRUPTED,
    EXIT_STAGE,
    EXIT_TERMINATED,
    AlpaqualError,
    RecipeError,
    Terminated,
)


class _Commands(click.Group):
    """Command group that handles Control-C and a closed output pipe itself.

    click exits with 1 on a closed pipe, which here means that the data failed.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error
        except BrokenPipeError:
            # The reader of the output closed it: discard the rest, and exit as on SIGPIPE.
            discard = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(discard, stream.fileno())
            sys.exit(141)


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=_Commands, context_settings=_SETTINGS)
@click.version_option(__version__, prog_name="alpaqual")
def cli() -> None:
    """Decide which instruction-tuning rows to train on, and show why.

    Exit codes: 0 the data is good (warnings allowed), 1 the data is not good, 2 the recipe is wrong, 3 this machine lacks
    something, 4 a stage failed (finished work is kept; run again to resume), 130 Control-C, 143 SIGTERM.
    """


for _command in (init, check, plan, run, report, rows, compare_graders, import_judgements, push, replies, schema):
    # On each command: click keeps the help option of the first context that a command is used in.
    for _each in (_command, *(_command.commands.values() if isinstance(_command, click.Group) else ())):
        _each.context_settings = {**_SETTINGS, **_each.context_settings}
    cli.add_command(_command)


def _print_error(error: AlpaqualError) -> None:
    """Print one line per problem.

    Text from data, such as a column name, must not start a new line.
    """
    from alpaqual.report.escape import visible

    lines = [str(p) for p in error.problems] if isinstance(error, RecipeError) else [str(error)]
    for line in [*lines, *getattr(error, "__notes__", ())]:
        click.echo(visible(" ".join(line.split("\n")).replace("\r", " ")), err=True)


_received: list[int] = []
"""Signals that `_terminate` received: DuckDB turns what a handler raises into an error of its own."""


def _terminate(number: int, _frame: object) -> None:
    """Stop as on Control-C. A second SIGTERM ends the process at once."""
    _received.append(number)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated


def main() -> None:
    """Run the command line and exit the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Files and pipes get UTF-8; a terminal that cannot show a character gets its escape.
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        click.echo("stopped; finished work is kept, run again to resume", err=True)
        terminated = _received or any(isinstance(each, Terminated) for each in (error, error.__cause__))
        sys.exit(EXIT_TERMINATED if terminated else EXIT_INTERRUPTED)
    except AlpaqualError as error:
        _print_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        # A file where a folder is needed, a full disk: not a bug, so no traceback.
        click.echo(f"{error.filename}: {error.strerror}", err=True)
        sys.exit(EXIT_STAGE)
    sys.exit(code if isinstance(code, int) else 0)
