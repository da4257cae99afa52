"""The page "Extending" does what it says: its files are added to a copy of the package, its commands are run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
MOST_FILES = 3


class Block(NamedTuple):
    """A marked code block: `file: path`, `edit: path` or `run: exit code`."""

    kind: str
    argument: str
    text: str


class Section(NamedTuple):
    title: str
    blocks: list[Block]


def sections() -> Iterator[Section]:
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        found = re.findall(r"<!-- (file|edit|run): (\S+) -->\n```\w*\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
        yield Section(title, [Block(*each) for each in found])


SECTIONS = list(sections())


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package and what it ships."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "alpaqual", folder / "alpaqual", ignore=shutil.ignore_patterns("__pycache__"))
    for shipped in ("rules", "recipes"):
        shutil.copytree(ROOT / shipped, folder / shipped)
    (folder / "work" / ".git").mkdir(parents=True)
    return folder


def apply(edit: str, text: str) -> str:
    """The text with the added lines of a diff, each before or after the unchanged line beside it."""
    for hunk in edit.split("@@\n"):
        lines = hunk.splitlines()
        old = "".join(line[1:] + "\n" for line in lines if line.startswith(" "))
        new = "".join(line[1:] + "\n" for line in lines if line.startswith((" ", "+")))
        assert text.count(old) == 1, f"the page edits a line that is not in the file once: {old}"
        text = text.replace(old, new)
    return text


def run(site: Path, command: str) -> tuple[int, str]:
    program = f"{sys.executable} -W error -m alpaqual"
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    line = re.sub(r"^alpaqual\b", program, command)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=site / "work", env=environment, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def test_the_page_has_the_seven_extensions() -> None:
    assert [section.title for section in SECTIONS] == [
        "A source", "A check", "A judge", "A provider", "A stage", "A report section", "An engine",
    ]  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_no_extension_touches_more_than_three_files_of_the_package(section: Section) -> None:
    touched = [block.argument for block in section.blocks if block.argument.startswith("alpaqual/")]
    assert 1 <= len(touched) <= MOST_FILES


def test_the_extensions_work_as_the_page_says(site: Path) -> None:
    """One test in the order of the page: a section may use the files and results of those before it."""
    for section in SECTIONS:
        assert any(block.kind == "run" for block in section.blocks), section.title
        for block in section.blocks:
            if block.kind == "run":
                check_commands(site, block)
                continue
            base = site if block.argument.startswith("alpaqual/") else site / "work"
            path = base / block.argument
            path.parent.mkdir(parents=True, exist_ok=True)
            text = apply(block.text, path.read_text(encoding="utf-8")) if block.kind == "edit" else block.text
            path.write_text(text, encoding="utf-8")


def check_commands(site: Path, block: Block) -> None:
    """Run each command of a console block, and compare what it prints."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        code, printed = run(site, command)
        assert (code, printed) == (int(block.argument), expected), command
