"""Module names, file sizes, and the tree of error classes."""

import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

from alpaqual import errors

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "alpaqual").rglob("*.py"))
VAGUE_NAMES = {"utils", "helpers", "common", "base", "core", "manager", "misc"}
MAX_LINES = 400


def test_the_modules_are_found() -> None:
    assert len(MODULES) > 70


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_has_a_specific_name_a_docstring_and_at_most_400_lines(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert path.stem.lstrip("_") not in VAGUE_NAMES
    assert len(text.splitlines()) <= MAX_LINES
    assert text.startswith('"""'), "a module starts with a docstring"


def test_the_tree_in_the_docstring_of_errors_matches_the_classes() -> None:
    classes = {
        name: cls
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, errors.AlpaqualError)
    }
    drawn = dict(re.findall(r"^[│├└─ ]*(\w+Error)\b.*\bexit (\d)$", errors.__doc__ or "", re.MULTILINE))

    assert drawn == {name: str(cls.exit_code) for name, cls in classes.items()}


def test_every_error_class_is_in_the_tree() -> None:
    stray = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in MODULES
        if path.name != "errors.py"
        for line in re.findall(
            r"^class \w+\((?:Exception|BaseException)\):", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]

    assert stray == []


def test_test_files_have_names_of_their_own() -> None:
    """Pytest imports a test file by its name alone: of two with one name, it refuses the second."""
    count = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))

    assert [name for name, files in count.items() if files > 1] == []
