"""Plug-ins of another package: found by their entry points, named in a recipe, and refused with the package's name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alpaqual import registry
from alpaqual.errors import MachineError

pytestmark = pytest.mark.slow

CHECK = '''\
from typing import Annotated

from msgspec import Meta, Struct

from alpaqual.contracts import Check, FailingRows


class Share(Struct, frozen=True, forbid_unknown_fields=True):
    """A share of capital letters."""

    most: Annotated[float, Meta(ge=0, le=1, description="Most of the letters that may be capitals.")] = 0.5


class NoShouting(Check):
    DESCRIPTION = "The text is not written in capitals."
    ARGUMENT = Share

    def problem(self, argument):
        return "'most: 1' lets every text pass" if argument.most == 1 else ""

    def failing(self, argument, column):
        capitals = f"LENGTH(REGEXP_REPLACE({column}, '[^A-Z]', '', 'g'))"
        return FailingRows(f"COALESCE({capitals} > {argument.most} * LENGTH({column}), FALSE)")
'''
SOURCE = '''\
class Pairs:
    """Lines of `instruction => response`."""

    VERSION = 1
    SUFFIXES = (".pairs",)
    CELLS = "json"

    def rows(self, file):
        with open(file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                instruction, arrow, response = line.rstrip("\\n").partition(" => ")
                row = {"instruction": instruction, "response": response} if arrow else None
                yield row, "" if row else f"line {number}: no =>"
'''
GRADER = """\
from alpaqual.values import Grade, Request


class Shortness:
    VERSION = 1
    SCALE = (0.0, 100.0)
    EXPRESSION = None
    PROBABILITIES = False

    def __init__(self, asking, model):
        self.model = model

    def request(self, row):
        return Request(self.model, (("user", row.response),))

    def read(self, reply):
        return Grade(float(reply.text), None, reply.text)

    def follow_up(self, request, grade, attempt):
        return None
"""
PROVIDER = '''\
from alpaqual.values import Reply


class Counting:
    """Replies with the number of words."""

    BATCH_REQUESTS = 0
    PROBABILITIES = STRUCTURED = LOCAL = RECORDED = False
    FREE = True

    def __init__(self, endpoint):
        pass

    async def complete(self, request):
        return Reply(str(len(request.messages[-1][1].split())), request.model, 1, 1)

    async def alive(self):
        return True

    async def close(self):
        pass
'''
POINTS = {
    "checks": {"no_shouting": "alpaqual_extras.check:NoShouting"},
    "sources": {"pairs": "alpaqual_extras.source:Pairs"},
    "graders": {"shortness": "alpaqual_extras.grader:Shortness"},
    "llm": {"counting": "alpaqual_extras.provider:Counting"},
}
RECIPE = """\
version: 1
name: extra
sources:
  - {path: rows.pairs, max_quarantined: 1}
  - {path: more.txt, format: pairs}
rules:
  - {id: calm, column: response, check: {no_shouting: {most: 0.6}}, warn: 0}
graders:
  words: {kind: shortness, model: counting/any}
datasets: {full: {}, long: {threshold: {words: 2}}}
"""


def install(folder: Path, points: dict[str, dict[str, str]], name: str = "alpaqual-extras") -> Path:
    """A folder as `pip install --target` leaves it: the modules, and the metadata that names their entry points."""
    package = folder / "alpaqual_extras"
    package.mkdir(parents=True, exist_ok=True)
    modules = {
        "__init__": "",
        "check": CHECK,
        "source": SOURCE,
        "grader": GRADER,
        "provider": PROVIDER,
        "broken": "1 / 0",
    }
    for module, text in modules.items():
        (package / f"{module}.py").write_text(text, encoding="utf-8")
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    listed = [
        f"[alpaqual.{kind}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
        for kind, named in points.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(listed), encoding="utf-8")
    return folder


def alpaqual(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, "-m", "alpaqual", *words]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "rows.pairs").write_text("Greet. => Good day.\nno arrow\nShout. => LOUD AND CLEAR\n", encoding="utf-8")
    (folder / "more.txt").write_text("Whisper. => hush\n", encoding="utf-8")
    return folder


def test_a_recipe_uses_a_check_a_source_a_grader_and_a_provider_of_another_package(
    tmp_path: Path, project: Path
) -> None:
    site = install(tmp_path / "site", POINTS)
    checked = alpaqual(site, project, "check", "recipe.yaml")
    assert checked.returncode == 0, checked.stderr
    ran = alpaqual(site, project, "run", "recipe.yaml")
    assert ran.returncode == 0, ran.stderr
    results = json.loads((project / "runs" / "extra" / "results.json").read_text(encoding="utf-8"))
    assert (results["source"]["rows"], results["source"]["quarantined"]) == (3, 1)
    (rule,) = results["rules"]
    assert (rule["id"], rule["state"], rule["failing_rows"]) == ("calm", "warn", 1)
    assert (results["graders"]["words"]["scored"], results["datasets"]["long"]["rows"]) == (3, 2)
    kept = (project / "runs" / "extra" / "datasets" / "full.jsonl").read_text(encoding="utf-8")
    assert sorted(json.loads(line)["output"] for line in kept.splitlines()) == ["Good day.", "LOUD AND CLEAR", "hush"]


def test_its_arguments_are_checked_with_their_place(tmp_path: Path, project: Path) -> None:
    site = install(tmp_path / "site", POINTS)
    text = RECIPE.replace("most: 0.6", "most: 2").replace("format: pairs", "format: pars")
    (project / "recipe.yaml").write_text(text, encoding="utf-8")
    checked = alpaqual(site, project, "check", "recipe.yaml")
    assert checked.returncode == 2
    assert "recipe.yaml:5:30: there is no source format 'pars', did you mean 'pairs'?" in checked.stderr
    assert "recipe.yaml:7:62: 'most' is 2: it must be 1 or less" in checked.stderr
    (project / "recipe.yaml").write_text(RECIPE.replace("most: 0.6", "most: 1"), encoding="utf-8")
    assert "'most: 1' lets every text pass" in alpaqual(site, project, "check", "recipe.yaml").stderr


def test_the_printed_schema_has_it_and_the_committed_one_does_not(tmp_path: Path, project: Path) -> None:
    site = install(tmp_path / "site", POINTS)
    printed = json.loads(alpaqual(site, project, "schema", "recipe").stdout)["definitions"]
    assert printed["Check"]["properties"]["no_shouting"]["description"] == "The text is not written in capitals."
    assert "Share" in printed
    assert "pairs" in printed["Source"]["properties"]["format"]["examples"]
    program = "from alpaqual.recipe.schema import json_schema; import json; print(json.dumps(json_schema({!r}, installed=False)))"
    for kind in ("recipe", "rules"):
        command = [sys.executable, "-c", program.format(kind)]
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        own = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
        )
        committed = Path(__file__).parents[2] / "docs" / "schema" / f"{kind}.json"
        assert json.loads(own.stdout) == json.loads(committed.read_text(encoding="utf-8"))


def test_a_broken_package_is_named_by_the_command_line(tmp_path: Path, project: Path) -> None:
    site = install(tmp_path / "site", {"checks": {"unique": "alpaqual_extras.check:NoShouting"}})
    checked = alpaqual(site, project, "check", "recipe.yaml")
    assert checked.returncode == 3
    assert "the plug-in 'unique' (alpaqual.checks) of the package 'alpaqual-extras' cannot be used" in checked.stderr
    assert alpaqual(site, project, "--help").returncode == 0


# The registry alone


Installer = Callable[..., None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    def forget() -> None:
        for cached in (registry.names, registry.find):
            cached.cache_clear()
        for module in [name for name in sys.modules if name.startswith("alpaqual_extras")]:
            del sys.modules[module]

    def into(points: dict[str, dict[str, str]], name: str = "alpaqual-extras") -> None:
        site = install(tmp_path / name, points, name)
        monkeypatch.syspath_prepend(str(site))
        forget()

    yield into
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize("kind", POINTS)
def test_names_and_find_know_other_packages(installed: Installer, kind: str) -> None:
    before = registry.names(kind)
    installed(POINTS)
    ((name, value),) = POINTS[kind].items()
    assert registry.own_names(kind) == before
    assert registry.names(kind) == tuple(sorted((*before, name)))
    assert registry.find(kind, name).__name__ == value.partition(":")[2]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (("unique", "alpaqual_extras.check:NoShouting"), "alpaqual has a plug-in of that name; update or uninstall"),
        (("No-Name", "alpaqual_extras.check:NoShouting"), "the name must be lower-case letters, digits and '_'"),
    ],
)
def test_a_name_that_is_taken_or_none_names_the_package(
    installed: Installer, point: tuple[str, str], message: str
) -> None:
    installed({"checks": dict([point])})
    with pytest.raises(MachineError, match=f"the package 'alpaqual-extras' cannot be used: {message}"):
        registry.names("checks")


def test_two_packages_with_one_name_are_both_named(installed: Installer) -> None:
    installed({"checks": {"no_shouting": "alpaqual_extras.check:NoShouting"}}, "alpaqual-first")
    installed({"checks": {"no_shouting": "alpaqual_extras.other:Other"}}, "alpaqual-second")
    with pytest.raises(MachineError) as raised:
        registry.names("checks")
    assert "'alpaqual-first'" in str(raised.value) and "'alpaqual-second'" in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("checks", "alpaqual_extras.broken:Plugin", "it cannot be imported: ZeroDivisionError: division by zero"),
        ("checks", "alpaqual_extras.missing:Plugin", "it cannot be imported: ModuleNotFoundError"),
        ("checks", "alpaqual_extras.check:Missing", "it cannot be imported: AttributeError"),
        ("checks", "alpaqual_extras.source:Pairs", "alpaqual_extras.source:Pairs lacks ARGUMENT, DESCRIPTION"),
        ("sources", "alpaqual_extras.check:NoShouting", "lacks CELLS, SUFFIXES, VERSION, rows"),
        (
            "llm",
            "alpaqual_extras.check:NoShouting",
            "RECORDED, STRUCTURED, alive, close, complete (alpaqual.contracts)",
        ),
    ],
)
def test_a_plug_in_that_cannot_be_used_names_its_package(
    installed: Installer, kind: str, value: str, message: str
) -> None:
    installed({kind: {"strange": value}})
    assert "strange" in registry.names(kind), "naming a plug-in does not import it"
    with pytest.raises(MachineError, match="of the package 'alpaqual-extras' cannot be used") as raised:
        registry.find(kind, "strange")
    assert message in str(raised.value)
