"""What tests share: the tiers, a project in a temporary folder with its command line, a browser, the real data."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from loopback import Server
from shared import made_once
from tiers import FAST, LONGEST, NIGHTLY, Guard, marked_slow
from written import WRITTEN

import alpaqual
from alpaqual.api import Run

# torch is not imported yet. Threads of several processes on two cores mostly wait for each other, and use the cores as they wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_guard = Guard() if FAST else None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave a file out that the fast tier has no test of."""
    if FAST and collection_path.match("test_*.py") and marked_slow(collection_path):
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests out of the fast tier; elsewhere they come first, so that no process ends long after the others."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if not item.get_closest_marker("slow")]
    if FAST:
        config.hook.pytest_deselected(items=slow)
        items[:] = others
    else:
        items[:] = sorted(slow, key=lambda item: item.path.name not in LONGEST) + others


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Hold a test of the fast tier to what the tier promises."""
    if _guard is None:
        return (yield)
    _guard.on = True
    try:
        return (yield)
    finally:
        _guard.on = False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many files and rows the property tests of reading compared; processes of xdist do not add theirs."""
    for line in WRITTEN.lines():
        terminalreporter.write_line(f"read as written: {line}")


class Project:
    """A folder with a recipe and its data; `run` runs the recipe, `command` the command line."""

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

    def command(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        process: bool = False,
        **more: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line with warnings as errors, and return its exit code and what it printed.

        It runs in this process; with `process`, with `more` arguments for `subprocess.run`, and in the nightly tier it
        runs in a process of its own. A bug in this process is raised as it is, where the other shows a traceback.
        """
        folder = self.folder if cwd is None else cwd
        if process or more or NIGHTLY:
            return _in_a_process(words, folder, env or {}, more)
        return _in_this_process(words, folder, env or {})


def _in_a_process(
    words: Sequence[str | Path], folder: Path, env: dict[str, str], more: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alpaqual", *map(str, words)],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONWARNINGS": "error", **env},
        timeout=120,
        check=False,
        **more,
    )


def _in_this_process(
    words: Sequence[str | Path], folder: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    from click.testing import CliRunner

    from alpaqual.cli.main import main

    arguments = ["alpaqual", *map(str, words)]
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch, CliRunner().isolation(env=env) as printed:
        patch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            main()
        sys.stdout.flush()
        sys.stderr.flush()
        output, errors = (stream.getvalue().decode("utf-8") for stream in printed[:2])
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(arguments, ended.value.code, output, errors)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A provider's server on this machine, which the tests of a file share."""
    with Server() as server:
        yield server


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries after faults wait a tenth of the time; their order and number stay."""
    from alpaqual.inference import rate_limiter

    monkeypatch.setattr(rate_limiter, "_FIRST_BACKOFF", rate_limiter._FIRST_BACKOFF / 10)


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
    return made_once(tmp_path_factory, "device", devices.made) / devices.LIBRARY
