"""Graders and providers of another package: named in a recipe, checked and run without a change in alpaqual."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from conftest import Project

from alpaqual import registry

pytestmark = pytest.mark.slow

MODULE = '''
"""A provider that answers with a number of words, one kind of grader that asks for it, and one that needs no model."""

from alpaqual.values import Endpoint, Grade, Reply, Request, Row

class Echo:
    BATCH_REQUESTS = 0
    PROBABILITIES = False
    STRUCTURED = False
    LOCAL = False
    FREE = True
    RECORDED = False

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def complete(self, request: Request) -> Reply:
        return Reply(str(len(request.messages[-1][1].split())), f"echo/{self.endpoint.model}", 3, 1)

    async def alive(self) -> bool:
        return True

    async def close(self) -> None:
        pass


class Words:
    VERSION = 1
    SCALE = (0.0, 100.0)
    PROBABILITIES = False
    EXPRESSION = None

    def __init__(self, prompt, model: str) -> None:
        self.model = model

    def request(self, row: Row) -> Request:
        return Request(self.model, (("user", row.response),))

    def read(self, reply: Reply) -> Grade:
        return Grade(float(reply.text), None, reply.text)

    def follow_up(self, request, grade, attempt):
        return None


class Shout:
    VERSION = 1
    SCALE = (0.0, 1.0)
    PROBABILITIES = False
    EXPRESSION = "CAST(UPPER(rows.response) = rows.response AS INTEGER)"
    MISSING = "no response"
    TITLE = "upper case of the response"
'''

ENTRY_POINTS = """
[alpaqual.llm]
echo = elsewhere:Echo

[alpaqual.graders]
words = elsewhere:Words
shout = elsewhere:Shout
"""

GRADERS = """
graders:
  count: {kind: words, model: echo/any}
  loud: {kind: shout}
""".strip()


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path with the package and its metadata, as `pip install` leaves them."""
    site = tmp_path_factory.mktemp("site")
    (site / "elsewhere.py").write_text(dedent(MODULE), encoding="utf-8")
    info = site / "elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    registry.names.cache_clear()
    registry.find.cache_clear()
    yield site
    sys.modules.pop("elsewhere", None)
    registry.names.cache_clear()
    registry.find.cache_clear()


def ask(project: Project, graders: str = GRADERS) -> None:
    rows = [{"instruction": f"i{n}", "response": "WORD " * n + ("word" if n % 2 else "WORD")} for n in range(6)]
    project.jsonl("d.jsonl", rows)
    project.ask("d.jsonl", graders, datasets="{long: {threshold: {count: 3}}, loud: {threshold: {loud: 1}}}")


def test_a_provider_and_graders_of_another_package_check_and_run(project: Project, installed: Path) -> None:
    ask(project)
    done = project.command("check", project.recipe)
    assert done.returncode == 0, done.stderr

    run = project.run()

    assert run.exit_code == 0
    graders = run.results["graders"]
    assert (graders["count"]["scored"], graders["count"]["calls_made"], graders["count"]["models"]) == (
        6,
        6,
        ["echo/any"],
    )
    assert graders["count"]["cost_usd"] == 0
    assert graders["loud"]["source"] == "upper case of the response"
    assert [run.results["datasets"][name]["rows"] for name in ("long", "loud")] == [4, 3]


@pytest.mark.parametrize(
    ("grader", "message"),
    [
        (
            "{kind: words, model: echo/any, scoring: expectation}",
            "the expectation needs a model's probabilities: use local/PATH",
        ),
        ("{kind: words, model: echo/any, structured: true}", "replies of echo follow no JSON Schema"),
        ("{kind: words, model: echo/any, mode: batch}", "echo has no batch API; there are: anthropic, openai"),
        ("{kind: shout, model: echo/any}", "computes the upper case of the response: leave 'model' out"),
        ("{kind: wrods, model: echo/any}", "no kind of grader 'wrods'"),
        ("{kind: words, model: ehco/any}", "no provider 'ehco'"),
    ],
)
def test_check_reads_what_a_plug_in_can_do(project: Project, installed: Path, grader: str, message: str) -> None:
    ask(project, f"graders: {{count: {grader}, loud: {{kind: shout}}}}")
    done = project.command("check", project.recipe)
    assert done.returncode == 2
    assert message in done.stderr


def test_check_imports_no_provider_s_package(project: Project) -> None:
    project.jsonl("d.jsonl", [{"instruction": "i", "response": "r"}])
    project.ask("d.jsonl", "graders: {a: {model: openai/m}, b: {model: anthropic/m}, c: {kind: length}}")
    heavy = "{'openai', 'anthropic', 'torch', 'transformers', 'polars', 'pandera'}"
    code = (
        "import sys; from alpaqual.cli.main import cli; "
        f"cli(['check', {str(project.recipe)!r}], standalone_mode=False); print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
