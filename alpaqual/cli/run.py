"""`alpaqual run`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alpaqual.cli.options import (
    CheckedLater,
    json_option,
    offline_option,
    quiet_option,
    recipe_argument,
    sets_option,
    stage_kinds,
)
from alpaqual.cli.progress import Progress

if TYPE_CHECKING:
    from alpaqual.api import Run


@click.command()
@recipe_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The run folder; by default runs/<name> in the project, with --set runs/<name>@<overrides>.",
)
@sets_option
@click.option(
    "--until",
    type=CheckedLater(stage_kinds),
    help="Stop after this kind of stage.",
)
@offline_option
@click.option(
    "--max-cost",
    type=float,
    metavar="USD",
    help="Stop before the model calls of this run cost more than this.",
)
@json_option
@quiet_option("Print no progress, and the summary only if the run fails.")
def run(  # noqa: PLR0913 - one argument per option
    recipe: Path,
    out: Path | None,
    sets: tuple[str, ...],
    until: str | None,
    offline: bool,
    max_cost: float | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run RECIPE: check, grade, select, train and evaluate, and write the run folder with its reports."""
    from alpaqual import api

    silent = quiet or as_json
    progress = Progress(sys.stderr)
    finished = api.run(
        recipe,
        out=out,
        sets=sets,
        until=until,
        offline=offline,
        max_cost=max_cost,
        listen=None if silent else progress.stage,
        watch=None if silent else progress.work,
    )
    if as_json:
        click.echo(json.dumps(finished.results.to_dict(), ensure_ascii=False))
    elif not quiet or finished.exit_code:
        _print_summary(finished)
    return finished.exit_code


_MOST_REASONS = 3
"""Reasons that are shown of a grader without a score."""


def _print_summary(finished: Run) -> None:
    from alpaqual.report.escape import shorten, visible
    from alpaqual.report.report import hardest_filtered

    results = finished.results
    click.echo(f"{finished.verdict.upper()}: {results['recipe']['name']}")
    for reason in results["reasons"]:
        place = f"{reason['place']}: " if reason["place"] else ""
        click.echo(visible(f"  {reason['state']}: {place}{' '.join(reason['text'].splitlines())}"))
    for name, grader in results.get("graders", {}).items():
        for line in _graded(name, grader):
            click.echo(visible(line))
    for name, dataset in results["datasets"].items():
        added = f", {dataset['below_threshold']:,} of them added by quotas" if dataset["below_threshold"] else ""
        click.echo(
            f"  {name}: {dataset['rows']:,} of {dataset['eligible']:,} rows ({dataset['keep_rate'] * 100:.1f}%){added}"
        )
        for quota in dataset["quotas"]:
            click.echo(
                f"    quota {quota['category']} {quota['limit']} {quota['asked']}: {quota['rows']:,} rows, {quota['wanted']:,} required"
            )
        if (hardest := hardest_filtered(dataset)) is not None:
            kept = (
                f"{hardest.keep_rate * 100:.1f}% of it kept by the threshold, {hardest.overall * 100:.1f}% of all rows"
            )
            click.echo(f"    filtered hardest: {visible(shorten(hardest.category, 80))}, {kept}")
    for name, training in results.get("training", {}).items():
        click.echo(visible(f"  training {name}: {_trained(training)}"))
    for line in _evaluated(finished):
        # Names of recorded replies are free text. One line that begins with our own word is no workflow command.
        click.echo(f"  {visible(shorten(line, 500))}")
    click.echo(f"  {finished.folder / 'report.html'}")


def _graded(name: str, grader: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a grader that calls a model or leaves rows without a score; without any score, the reasons."""
    from alpaqual.amounts import dollars
    from alpaqual.report.escape import shorten

    calls = ""
    if grader["calls_made"] or grader["calls_reused"]:
        cost = f", {dollars(grader['cost_usd'])}" if grader["cost_usd"] else ""
        cost = cost if grader["priced"] else ", at an unknown cost: no price is listed, write 'price:'"
        calls = f", {grader['calls_made']:,} calls made, {grader['calls_reused']:,} replies reused{cost}"
    if calls or grader["unscored"]:
        yield f"  grader {name}: {grader['scored']:,} of {grader['rows']:,} rows scored{calls}"
    reasons = sorted(grader["unscored_reasons"].items(), key=lambda reason: -reason[1])
    for why, rows in reasons[:_MOST_REASONS] if not grader["scored"] else ():
        yield f"    {rows:,} unscored: {shorten(why, 200)}"


def _evaluated(finished: Run) -> Iterator[str]:
    """Yield a line for each pair, test set and judge, by the recipe's own rule, and one for what judges and answers took."""
    from alpaqual.amounts import dollars

    found = finished.results.evaluation
    if found is None:
        return
    for pair in found.pairs:
        if pair.rule != found.rule:
            continue
        score = "no verdicts"
        if pair.winning_score is not None and pair.interval is not None:
            score = f"winning score {pair.winning_score:.3f} ({pair.interval[0]:.3f} to {pair.interval[1]:.3f}): "
            score += {"helps": "helps", "hurts": "hurts"}.get(pair.shown, "not shown to help")
            score += " (judge flagged)" if found.judges[pair.judge].flags else ""
        unjudged = f", {pair.unjudged:,} unjudged" if pair.unjudged else ""
        yield (
            f"pair {pair.a} against {pair.b} on {pair.test_set}, judge '{pair.judge}': {pair.win:,} wins, {pair.tie:,} ties, "
            f"{pair.lose:,} losses{unjudged}; {score}"
        )
    for name, judge in found.judges.items():
        if judge.calls_made or judge.calls_reused:
            cost = f", {dollars(judge.cost_usd)}" if judge.cost_usd else ""
            cost = cost if judge.priced else ", at an unknown cost: no price is listed, write 'price:'"
            yield f"judge '{name}': {judge.calls_made:,} calls made, {judge.calls_reused:,} replies reused{cost}"
    for answers in found.answers:
        calls = f"{answers.calls_made:,} made now, {answers.calls_reused:,} reused"
        if not answers.why:
            yield f"answers of {answers.model} to {answers.test_set}: {answers.answered:,} of {answers.questions:,} ({calls})"


def _trained(training: Mapping[str, Any]) -> str:
    if training["state"] != "done":
        return f"{training['state']}: {training['why']}"
    loss = f"loss {training['loss_first']:.3f} to {training['loss_last']:.3f}"
    held_out = training["held_out"]
    apart = f", held out {held_out['before']:.3f} to {held_out['after']:.3f}" if held_out else ""
    return f"{training['steps']:,} steps, {loss}{apart}: {training['model']}"
