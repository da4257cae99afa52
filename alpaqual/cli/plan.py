"""`alpaqual plan`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from alpaqual.cli.options import (
    json_option,
    offline_option,
    quiet_option,
    recipe_argument,
    sets_option,
)

if TYPE_CHECKING:
    from alpaqual.execution.estimate import Estimate
    from alpaqual.plan.plan import Plan


@click.command()
@recipe_argument
@sets_option
@offline_option
@json_option
@quiet_option("Omit the SQL.")
def plan(recipe: Path, sets: tuple[str, ...], offline: bool, as_json: bool, quiet: bool) -> int:
    """Show what `run` would do: each stage, whether it is reused and why, and the SQL.

    For graders that call a model, also show the rows to grade, tokens, cost in US dollars and time; this loads the rows. For
    an evaluation, show the calls, tokens, cost and GPU hours of answers and judges.
    """
    from alpaqual import api
    from alpaqual.execution.plan_sql import plan_sql

    planned = api.plan_recipe(recipe, sets=sets, offline=offline)
    explained = api.explain(planned)
    estimates = api.estimate(planned)
    jobs = api.estimate_jobs(planned)
    evaluated = api.estimate_evaluation(planned)
    if as_json:
        stages = [
            {
                "stage": e.stage,
                "reused": e.reused,
                "why": e.why,
                "fingerprint": planned.stage(e.stage).fingerprint,
            }
            for e in explained
        ]
        click.echo(
            json.dumps(
                {
                    "stages": stages,
                    "graders": [{**asdict(each), "calls": each.calls} for each in estimates],
                    "training": [asdict(each) for each in jobs],
                    "evaluation": [{**asdict(each), "calls": each.calls} for each in evaluated],
                    "commands": api.commands(planned),
                    "notes": list(planned.notes),
                    "sql": plan_sql(planned),
                },
                ensure_ascii=False,
            )
        )
        return 0
    width = max(len(each.stage) for each in explained)
    for stage in explained:
        click.echo(f"{'reuse' if stage.reused else 'do   '}  {stage.stage:<{width}}  {stage.why}")
    _print_graders(planned, estimates)
    for job in jobs:
        click.echo(f"training {job.dataset}: {job}")
    for each in evaluated:
        click.echo(f"{each.stage}: {each}")
    for name, command in api.commands(planned).items():
        click.echo(f"{name} is: {command}")
    for note in planned.notes:
        click.echo(f"note: {note}")
    if not quiet:
        click.echo()
        click.echo(plan_sql(planned), nl=False)
    return 0


def _print_graders(planned: Plan, estimates: list[Estimate]) -> None:
    for name, grader in planned.recipe.graders.items():
        if grader.model is not None and not grader.live:
            click.echo(f"grader {name}: recorded replies, 0 calls to pay for")
    for estimate in estimates:
        click.echo(f"grader {estimate.grader}: {estimate}")
    for estimate in estimates:
        for note in estimate.notes:
            click.echo(f"note: grader {estimate.grader}: {note}")
