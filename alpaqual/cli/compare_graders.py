"""`alpaqual compare-graders`."""

from __future__ import annotations

from pathlib import Path

import click

from alpaqual.cli.options import run_argument


@click.command("compare-graders")
@run_argument
@click.argument("other_run", metavar="[OTHER]", type=click.Path(path_type=Path), required=False)
@click.option("--grader", metavar="NAME", help="The first grader, of RUN; may be left out where one can be meant.")
@click.option("--with", "other", metavar="NAME", help="The second grader, of OTHER, or of RUN without OTHER.")
@click.option("--threshold", type=float, help="Threshold of the first; by default that of a dataset of its run.")
@click.option(
    "--with-threshold",
    "other_threshold",
    type=float,
    help="Threshold of the second; by default that of a dataset, or the first's at the same share of the scale.",
)
@click.option("--examples", type=click.IntRange(min=0), default=5, show_default=True, help="Rows to show of each side.")
@click.option("--format", "kind", type=click.Choice(["text", "md", "json"]), default="text", show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of printing."
)
def compare_graders(  # noqa: PLR0913 - one argument for each option of the command
    run: Path,
    other_run: Path | None,
    grader: str | None,
    other: str | None,
    threshold: float | None,
    other_threshold: float | None,
    examples: int,
    kind: str,
    output: Path | None,
) -> int:
    """Compare two graders (prompts, models) on the rows that both scored, in a finished RUN or in two.

    Shows how they agree, their histograms by share of the scale, which rows change sides at the threshold, and what each cost.
    """
    from alpaqual import api
    from alpaqual.execution.comparing_graders import Choice, choose, compare
    from alpaqual.report.grader_comparison import to_markdown, to_text
    from alpaqual.results.comparison import comparison_text

    first = api.open_run(run)
    second = None if other_run is None else api.open_run(other_run)
    one, two = choose(first, second, grader, other)
    sides = Choice(first, one, threshold), Choice(second or first, two, other_threshold)
    found = compare(*sides, examples=examples)
    text = {"text": to_text, "md": to_markdown, "json": comparison_text}[kind](found)
    if output is None:
        click.echo(text, nl=False)
    else:
        from alpaqual.store.store import write_whole

        write_whole(output, text)
    return 0
