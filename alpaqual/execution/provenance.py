"""What made a run: versions, the git commit of the project, digests of its data, and the command that gives the result again."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from alpaqual.plan.plan import Plan
from alpaqual.recipe.recipe import Recipe
from alpaqual.results.results import Commit, Provenance, SourceDigests
from alpaqual.version import __version__

_SECONDS = 20.0
"""How long git may take."""


def provenance(plan: Plan, stages: Iterable[str], commit: Commit | None) -> Provenance:
    """What made a run; `stages` are the names of the stages that have a result."""
    found = set(stages)
    return Provenance(
        alpaqual=__version__,
        python=platform.python_version(),
        duckdb=version("duckdb"),
        command=run_command(plan.recipe),
        commit=commit,
        sources=[
            SourceDigests(name=facts.name, sha256=[file.digest for file in facts.files]) for facts in plan.sources
        ],
        files=dict(sorted(plan.digests.items())),
        stages={stage.name: stage.fingerprint for stage in plan.stages if stage.name in found},
    )


def run_command(recipe: Recipe) -> str:
    """The command that runs a recipe with its overrides, as a line of the shell."""
    words = ["alpaqual", "run", recipe.file]
    for override in recipe.document.sets.values():
        words += ["--set", override]
    return shlex.join(words)


def find_commit(project: Path, run: Path) -> Commit | None:
    """The commit of a project, and whether its files differ from it; None without git, a repository or a commit.

    What runs write is left out: `.alpaqual/`, `runs/` and the folder of this run.
    """
    own = [project / "runs", project / ".alpaqual", run.resolve()]
    inside = [str(path.relative_to(project)) for path in own if path.is_relative_to(project) and path != project]
    # A file system monitor of the repository's own settings would run a program.
    command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch", "--untracked-files=normal"]
    command += ["--", ".", *(f":(exclude,literal){path}" for path in inside)]
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(project.parent), "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    head = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    return None if head == "(initial)" else Commit(sha=head, changed=any(not line.startswith("#") for line in lines))
