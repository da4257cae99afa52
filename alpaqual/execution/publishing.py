"""Pushes a dataset of a finished run to the Hugging Face Hub: its files and its card, in one commit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpaqual.errors import MachineError, Problem, RecipeError, StageError
from alpaqual.execution.run import Run
from alpaqual.results.datasets import DatasetResult, hub_path
from alpaqual.values import State

_LOG_IN = "set HF_TOKEN, or run: hf auth login"


def card_of(dataset: str) -> str:
    """The name of a dataset's card in the run folder."""
    return f"datasets/{dataset}.README.md"


def push_datasets(run: Run, dataset: str | None = None) -> dict[str, str]:
    """Push the datasets of a run that name a repository, or one of them. Returns the address of each commit.

    Raises RecipeError where the run is not good or names no repository, and as `push_files` does.
    """
    found = {
        name: each
        for name, each in run.results.datasets.items()
        if each.push_to_hub is not None and dataset in (None, name)
    }
    if not found:
        what = "no dataset names" if dataset is None else f"the dataset '{dataset}' does not name"
        raise _refused(run, f"{what} a repository: write 'push_to_hub: owner/name' in the recipe and run it")
    if run.verdict not in (State.PASS, State.WARN):
        raise _refused(run, f"the verdict of this run is {run.verdict}: only a good run is pushed")
    return {name: _push(run, name, each) for name, each in found.items()}


def _push(run: Run, name: str, dataset: DatasetResult) -> str:
    files = {"README.md": run.folder / card_of(name)}
    files |= {hub_path(split, file): run.folder / file for split, file in dataset.files(name).items()}
    return push_files(str(dataset.push_to_hub), files, f"{dataset.rows:,} rows of {run.results.recipe.name}")


def _refused(run: Run, why: str) -> RecipeError:
    return RecipeError([Problem(str(run.folder), 0, 0, why)])


def push_files(repository: str, files: Mapping[str, Path], message: str) -> str:
    """Make a commit of files, by their paths in a dataset repository; a repository that is not there is made, private.

    Returns the address of the commit. Raises MachineError without huggingface_hub or a token, StageError where the Hub refuses.
    """
    hub = _hub()
    token = hub.get_token()
    if not token:
        raise MachineError(f"pushing to the Hugging Face Hub needs a token: {_LOG_IN}")
    api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    operations = [
        hub.CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(file.resolve())) for path, file in files.items()
    ]
    try:
        api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        commit = api.create_commit(repository, operations, repo_type="dataset", commit_message=message)
    except Exception as error:
        # The libraries below have errors of several kinds for a server that refuses or cannot be reached.
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise StageError(f"the Hugging Face Hub did not take {repository}: {first}; nothing was pushed") from error
    return str(commit.commit_url)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise MachineError(
            "pushing to the Hugging Face Hub needs huggingface_hub: pip install 'alpaqual[hub]'"
        ) from None
    return huggingface_hub
