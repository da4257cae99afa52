"""Print the progress of a run: one line, overwritten on a terminal; separate lines elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from alpaqual.execution.options import Progress as Grading
    from alpaqual.execution.options import TrainingProgress

_LOG_INTERVAL = 15.0
"""Seconds between progress lines if the output is not a terminal."""


class Progress:
    """Prints the progress of a run to `stream`."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.last = time.monotonic()

    def stage(self, stage: str, event: str, seconds: float) -> None:
        """Report that a stage started, finished (after `seconds`) or was reused."""
        if event == "start":
            self.last = time.monotonic()
            if self.terminal:
                self.show(f"… {stage}")
            return
        self.show(f"{stage}: {'reused' if event == 'reused' else f'done in {seconds:.2f} s'}", keep=True)

    def work(self, at: Grading | TrainingProgress) -> None:
        """Report the progress of a grader or a training job."""
        now = time.monotonic()
        if self.terminal:
            self.show(f"… {progress_line(at)}"[: shutil.get_terminal_size().columns - 1])
        elif now - self.last > _LOG_INTERVAL:
            self.last = now
            self.show(progress_line(at), keep=True)

    def show(self, line: str, *, keep: bool = False) -> None:
        """Replace the last line; a line with `keep` is not replaced later."""
        start = "\r\x1b[K" if self.terminal else ""
        click.echo(f"{start}{line}", nl=keep, file=self.stream)


def progress_line(at: Grading | TrainingProgress) -> str:
    """Format the progress of a grader or a training job, with the time left."""
    from alpaqual.amounts import duration
    from alpaqual.execution.options import TrainingProgress

    if isinstance(at, TrainingProgress):
        parts = [f"training {at.dataset}: step {at.step:,} of {at.of:,}", f"loss {at.loss:.3f}"]
        parts += [f"{at.tokens_per_second:,.0f} tokens/s"]
        parts += [f"MFU {at.mfu:.0%}"] if at.mfu is not None else []
        parts += [f"{at.memory_bytes / 2**30:.1f} GiB"] if at.memory_bytes is not None else []
        return ", ".join([*parts, f"{duration(at.left)} left"])

    parts = [f"{at.work} {at.grader}: {at.rows:,} of {at.of:,} {at.items}", f"{at.rate:,.0f} {at.items}/s"]
    parts += [f"{at.reused:,} from the ledger"] if at.reused else []
    parts += [f"{at.unscored:,} unscored"] if at.unscored else []
    parts += [f"${at.cost:.2f}"] if at.cost else []
    parts += [] if at.priced else ["cost unknown"]
    return ", ".join([*parts, f"{duration(at.left)} left"])
