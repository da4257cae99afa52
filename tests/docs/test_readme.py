"""The README's recipe and its Python code run, in order, as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from conftest import Project

import alpaqual

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
RECIPE, *_ = re.findall(r"^```yaml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_python_code(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data has the columns of the set that the recipe names; 9,000 rows are expected and 60 are there."""
    (project.folder / "data").mkdir()
    topics = ("Write a Python function", "Solve the equation", "Name a colour")
    pl.DataFrame(
        {
            "instruction": [f"{topics[i % 3]} {i}." for i in range(60)],
            "output": [f"Here is answer number {i}." for i in range(60)],
            "accuracy_score": [i % 11 / 2 for i in range(60)],
        }
    ).write_parquet(project.folder / "data" / "alpaca.parquet")
    project.write("recipe.yaml", RECIPE)
    project.write("rules/project.yaml", "- {id: short, column: output, check: {str_length: {max: 99}}}\n")
    monkeypatch.chdir(project.folder)
    names: dict[str, object] = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, "README.md", "exec"), names)
    run, same, stricter = (names[name] for name in ("run", "same", "stricter"))
    assert isinstance(run, alpaqual.Run)
    assert isinstance(same, alpaqual.Run)
    assert isinstance(stricter, alpaqual.Run)
    assert [reason.text for reason in run.results.reasons if reason.state == "fail"] == [
        f"expected dataset quality: rows at least 9,000; found {run.results.datasets['quality'].rows}"
    ]
    assert same.results == run.results
    assert stricter.folder != run.folder
    assert len(stricter.datasets["quality"]) < len(run.datasets["quality"]) > 0


def test_the_messages_of_check(project: Project) -> None:
    (said,) = re.findall(r"`check` prints:\n\n```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    project.write("recipe.yaml", RECIPE.replace("accuracy: 4.5}", "accuracy: 4.7}").replace("floor:", "flor:"))
    done = project.command("check", "recipe.yaml")
    assert (done.returncode, done.stderr) == (2, said)
