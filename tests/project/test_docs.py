"""Documentation: generated pages are up to date, links resolve, checks and commands are documented."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import alpaqual
from alpaqual.cli.main import cli
from alpaqual.errors import RecipeError
from alpaqual.recipe.model import Check

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(DOCS / "decisions").glob("*.md"), *ROOT.glob("recipes/**/*.md")]
)


def test_the_pages_are_found() -> None:
    assert len(PAGES) >= 12


def test_generated_pages_are_up_to_date() -> None:
    generated = _reference().pages()

    assert len(generated) == 8
    for path, text in generated.items():
        assert (DOCS / path).read_text(encoding="utf-8") == text, f"{path}: run python docs/reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_page_resolve(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        linked = (page.parent / target) if target else page
        assert linked.exists(), target
        if anchor:
            assert anchor in _anchors(linked.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_the_readme_shows_the_messages_of_check_as_they_are() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    recipe = re.search(r"^```yaml\n(version: 1.*?)^```", readme, re.MULTILINE | re.DOTALL)
    messages = re.search(r"^```\n(recipe\.yaml:.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert recipe is not None and messages is not None
    with pytest.raises(RecipeError) as error:
        alpaqual.parse_recipe(recipe[1].replace("accuracy: 4.5}", "accuracy: 4.7}").replace("floor:", "flor:"))

    assert str(error.value) == messages[1].strip()


def test_every_page_of_docs_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [page.name for page in DOCS.glob("*.md") if f"](docs/{page.name})" not in readme] == []


def test_the_glossary_is_sorted_and_defines_each_term_once() -> None:
    terms = re.findall(r"^\| ([^|`]+?) \|", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    terms = [term for term in terms if term != "term"]

    assert len(terms) > 20
    assert terms == sorted(set(terms))


def test_the_changelog_has_this_version() -> None:
    assert f"\n## {alpaqual.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_check_and_command_is_documented() -> None:
    recipe = (DOCS / "recipe.md").read_text(encoding="utf-8")
    commands = (DOCS / "cli.md").read_text(encoding="utf-8")

    assert [check for check in Check.__struct_fields__ if f"`{check}`" not in recipe] == []
    assert [command for command in cli.commands if f"## {command}" not in commands] == []


def _anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
