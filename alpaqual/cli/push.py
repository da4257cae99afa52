"""`alpaqual push`."""

from __future__ import annotations

from pathlib import Path

import click

from alpaqual.cli.options import run_argument


@click.command()
@run_argument
@click.argument("dataset", required=False)
def push(run: Path, dataset: str | None) -> int:
    """Push the datasets of a finished RUN (its folder) that name `push_to_hub` to the Hugging Face Hub, or one DATASET of them.

    Files and card go into one commit. A new repository is private. The token is that of HF_TOKEN or of `hf auth login`.
    """
    from alpaqual import api

    for name, address in api.push(run, dataset=dataset).items():
        click.echo(f"{name}: {address}")
    return 0
