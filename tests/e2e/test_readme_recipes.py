"""Recipes and commands in the README and the pages work as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import Project

import alpaqual
from alpaqual.cli.main import cli
from alpaqual.errors import RecipeError

ROOT = Path(__file__).parents[2]
# The recipes of extending.md name plug-ins that the page adds: tests/docs runs them.
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name != "extending.md")]


def blocks(kind: str) -> list[tuple[str, str]]:
    """Every block of a kind, with its page and line."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append((f"{page.relative_to(ROOT)}:{line}", match[1]))
    return found


RECIPES = {place: text for place, text in blocks("yaml") if re.search(r"^version: 1", text, re.MULTILINE)}


def test_the_readme_has_a_recipe() -> None:
    assert any(place.startswith("README.md:") for place in RECIPES)


@pytest.mark.parametrize("place", RECIPES)
def test_a_recipe_on_a_page_is_one(project: Project, place: str) -> None:
    try:
        recipe = alpaqual.parse_recipe(RECIPES[place], str(project.recipe))
    except RecipeError as error:
        # What a page leaves to its reader may be missing: files of the reader's own.
        assert all(re.search(r"no (rules|categories) file|prompt file", p.message) for p in error.problems), error
    else:
        assert recipe.datasets or recipe.text.evaluation is not None


@pytest.mark.parametrize(("place", "text"), blocks("yaml"))
def test_every_block_of_yaml_is_yaml(place: str, text: str) -> None:
    assert yaml.safe_load(text.replace("…", "x")) is not None, place


COMMANDS = [
    (place, line.split("  #")[0].strip())
    for kind in ("sh", "console", "bash")
    for place, text in blocks(kind)
    for line in text.splitlines()
    if line.strip().startswith("alpaqual ")
]


@pytest.mark.parametrize(("place", "line"), COMMANDS)
def test_every_command_on_a_page_has_these_options(place: str, line: str) -> None:
    _, command, *words = re.split(r"\s+", re.split(r"[|>&;]", line)[0].strip())
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0, place
    known = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", shown.output))
    assert options <= known, place


def test_the_recipe_of_the_readme_runs_on_rows_like_those_it_names(project: Project) -> None:
    text = next(text for place, text in RECIPES.items() if place.startswith("README.md:"))
    rows = [
        {"instruction": f"Do {i} in Python" if i % 4 == 0 else f"Do {i}", "input": "", "output": f"Done {i}, with care.", "accuracy_score": 3.5 + i % 4 / 2}
        for i in range(80)
    ]  # fmt: skip
    project.jsonl("data/alpaca.jsonl", rows)
    project.write("recipe.yaml", text.replace("alpaca.parquet", "alpaca.jsonl"))
    run = project.run()
    assert run.folder == project.folder / "runs" / "quality"
    assert run.results["datasets"]["quality"]["rows"] == 50
    assert [reason["text"][:36] for reason in run.results["reasons"] if reason["state"] == "fail"] == [
        "expected dataset quality: rows at le"
    ]
