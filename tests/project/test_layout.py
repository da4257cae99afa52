"""What keeps the house straight: names, sizes, the tree of errors, pages made from the code, links of the documentation."""

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import alpaqual
from alpaqual import errors

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "alpaqual").rglob("*.py"))
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "decisions").glob("*.md"),
    ]
)
JUNK_ROOMS = {"utils", "helpers", "common", "base", "core", "manager", "misc"}
MOST_LINES = 420


def test_the_modules_are_found() -> None:
    assert len(MODULES) > 70
    assert len(PAGES) >= 12


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_junk_room_and_no_long_file(path: Path) -> None:
    assert path.stem.lstrip("_") not in JUNK_ROOMS
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert path.read_text(encoding="utf-8").startswith('"""'), "a module says in its first line what it does"


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    classes = {
        name: cls
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, errors.AlpaqualError)
    }
    drawn = dict(re.findall(r"^[│├└─ ]*(\w+Error)\b.*\bexit (\d)$", errors.__doc__ or "", re.MULTILINE))

    assert drawn == {name: str(cls.exit_code) for name, cls in classes.items()}


def test_every_error_of_ours_is_in_the_tree() -> None:
    stray = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in MODULES
        if path.name != "errors.py"
        for line in re.findall(
            r"^class \w+\((?:Exception|BaseException)\):", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]

    assert stray == []


def test_the_pages_made_from_the_code_are_fresh() -> None:
    made = _reference().pages()

    assert len(made) == 7
    stale = [path for path, text in made.items() if (ROOT / "docs" / path).read_text(encoding="utf-8") != text]
    assert stale == [], "run: python docs/reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_changelog_knows_this_version() -> None:
    assert f"\n## {alpaqual.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_check_and_command_is_documented() -> None:
    recipe = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    cli = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    from alpaqual.cli.main import cli as group
    from alpaqual.recipe.model import Check

    assert [check for check in Check.__struct_fields__ if f"`{check}`" not in recipe] == []
    assert [command for command in group.commands if f"## {command}" not in cli] == []


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
