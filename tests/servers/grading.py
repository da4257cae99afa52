"""Real rows, and the recipes that grade them with the model of a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conftest import Project

from alpaqual.api import Run

KEY = "sk-of-these-tests"
_QUICKSTART = Path(__file__).parents[2] / "recipes" / "data" / "quickstart.jsonl"
_PROMPT = """Score the [dimension] of the response from [min] to [max].

[instruction]
[input]
Response: [response]"""


def real_rows(count: int) -> list[dict[str, Any]]:
    """The shortest rows of the quickstart, each once."""
    rows = {line: json.loads(line) for line in _QUICKSTART.read_text(encoding="utf-8").splitlines()}
    return sorted(rows.values(), key=lambda row: len("".join(map(str, row.values()))))[:count]


STRUCTURED = "structured: true, max_tokens: 48"
GRAMMAR = """parameters: {extra_body: {grammar: 'root ::= [0-4] ".5"? | "5"'}}, max_tokens: 4"""
"""llama.cpp's own way to a score on a step: two tokens instead of twenty."""


def ask(project: Project, rows: list[dict[str, Any]], model: str, address: str, words: str = GRAMMAR) -> None:
    """A recipe whose grader `g` sends requests about the rows to a server; `words` are more keys of the grader."""
    project.jsonl("rows.jsonl", rows)
    project.write("prompt.txt", _PROMPT)
    settings = "prompt: prompt.txt, concurrency: 2, timeout_seconds: 60"
    if "scale:" not in words:
        settings += ", scale: {min: 0, max: 5, step: 0.5}"
    grader = f"g: {{model: {model}, base_url: '{address}', {settings}, {words}}}"
    project.ask("rows.jsonl", f"graders: {{{grader}}}")


def replies(project: Project) -> list[dict[str, Any]]:
    """The replies of the ledger, those that are being written too."""
    files = sorted((project.folder / ".alpaqual" / "replies").glob("*.jsonl"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def found(run: Run) -> dict[str, Any]:
    """What the results say about the grader."""
    return dict(run.results["graders"]["g"])


def reasons(run: Run) -> dict[str, int]:
    """Why rows have no score."""
    return dict(found(run)["unscored_reasons"])
