"""What tests of whole runs share: a project in a temporary folder, and a run that is asked whether any row got lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

import alpaqual
from alpaqual.api import Run


class Project:
    """A folder with a recipe and its data; `run` runs the recipe in this process, `command` the command line in another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = folder / "recipe.yaml"

    def write(self, file: str, content: bytes | str) -> Path:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def jsonl(self, file: str, rows: Sequence[Any]) -> Path:
        return self.write(file, "".join(json.dumps(row) + "\n" for row in rows))

    def ask(self, path: str = "data.jsonl", more: str = "", *, source: str = "", datasets: str = "{full: {}}") -> Path:
        """A recipe of one source; `source` holds more of its keys. Its path is on line 4."""
        lines = ["version: 1", "name: trial", "sources:", f"  - path: {path}"]
        lines += [f"    {line}" for line in source.splitlines()]
        lines += [more, f"datasets: {datasets}"]
        return self.write("recipe.yaml", "\n".join(line for line in lines if line) + "\n")

    def run(self, **settings: Any) -> Run:
        return alpaqual.run(self.recipe, **settings)

    def command(self, *words: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONWARNINGS": "error", **more.pop("env", {})}
        return subprocess.run(
            [sys.executable, "-m", "alpaqual", *map(str, words)],
            cwd=more.pop("cwd", self.folder),
            capture_output=True,
            encoding="utf-8",
            env=environment,
            timeout=120,
            check=False,
            **more,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="session")
def paper_data() -> Path:
    """The folder of the real data; tests of it are skipped without."""
    folder = os.environ.get("ALPAQUAL_DATA")
    if not folder:
        pytest.skip("needs ALPAQUAL_DATA, the folder of the real data")
    return Path(folder)


def missing(what: str) -> NoReturn:
    """A machine of a developer may do without a browser; the one that decides about a change may not."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing("chromium is not installed (apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed (pip install playwright)")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        started = playwright.chromium.launch(executable_path=found, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="session")
def device_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The part of a CUDA device that is none which torch asks in C++; see the folder `devices`."""
    import devices
    import torch

    if torch.version.cuda is not None:
        pytest.skip("this torch knows CUDA: no device can be made up beside it")
    if shutil.which("g++") is None:
        missing("g++ is not installed (apt-get install g++)")
    return devices.made(tmp_path_factory.mktemp("device"))
