"""One run of the conversations, from their files to what is exported, and its checks in plain Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

import alpaqual
from alpaqual.api import Run

from . import checking
from .making import FILES, Made, Record, write

SMOLLM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""The system turn that SmolLM2's chat template adds where a conversation has none."""
THRESHOLD = 3.0
_RECIPE = """\
version: 1
name: conversations
sources:
  - {path: openai.jsonl, fields: {id: uid}, keep: [kind, topic], max_quarantined: 10%}
  - {path: sharegpt.jsonl, fields: {id: uid}, keep: [kind, topic], roles: {bing: assistant}}
rules: [hygiene, conversations]
categories: [{column: kind}]
graders:
  quality: {model: recorded/judge.jsonl, prompt: judge.txt, dimension: quality, scale: {min: 0, max: 5, step: 0.5}}
datasets:
  full: {}
  good: {threshold: {quality: 3}}
  few: {from: good, sample: SAMPLE, seed: 10}
  unseen: {from: full, sample: 24, seed: 11}
expect:
  - {grader: quality, unscored: {max: 3%}}
training:
  base_model: MODEL
  datasets: DATASETS
  held_out: unseen
  prompt: chat
  method: METHOD
  precision: fp32
  epochs: EPOCHS
  batch_size: 8
  learning_rate: RATE
  max_length: 1024
  micro_batch_tokens: 1024
  exports: [axolotl, llama_factory, trl]
  launch: {start: START, processes: 1}
"""


@dataclass(frozen=True)
class Settings:
    """What a run trains; `start` is `here` or `elsewhere`, which writes jobs and exports and trains none."""

    model: str
    datasets: Sequence[str] = ("few",)
    start: str = "elsewhere"
    sample: int = 64
    epochs: int = 1
    rate: float = 5e-5
    method: str = "full"


def prepare(folder: Path, made: Sequence[Made], settings: Settings) -> Path:
    """Write the files, the judge's replies and the recipe. Returns the recipe."""
    write(made, folder)
    checking.write_replies(made, folder / "judge.jsonl")
    (folder / "judge.txt").write_text(checking.PROMPT, encoding="utf-8")
    filled = {
        "SAMPLE": settings.sample,
        "MODEL": settings.model,
        "DATASETS": f"[{', '.join(settings.datasets)}]",
        "METHOD": settings.method,
        "EPOCHS": settings.epochs,
        "RATE": settings.rate,
        "START": settings.start,
    }
    text = _RECIPE
    for word, value in filled.items():
        text = text.replace(f": {word}", f": {value}")
    recipe = folder / "recipe.yaml"
    recipe.write_text(text, encoding="utf-8")
    return recipe


def check_selection(run: Run, made: Sequence[Made]) -> dict[str, Any]:
    """Compare rows, quarantine, failures and datasets of a run with what was made. Returns figures."""
    tables = run.folder / "tables"
    rows = pl.read_parquet(tables / "rows.parquet").to_dicts()
    quarantine = pl.read_parquet(tables / "quarantine.parquet").to_dicts()
    found: dict[str, Any] = checking.check_rows(made, rows, quarantine)
    by_id = {row["id"]: row for row in rows}
    failures = [
        (row["rule"], by_id[row["id"]]["messages"], by_id[row["id"]]["tools"])
        for row in pl.read_parquet(tables / "failures.parquet").to_dicts()
    ]
    found["failing"] = checking.check_rules(made, failures)
    dropped = {
        checking.key_of(json.loads(messages), json.loads(tools or "null"))
        for rule, messages, tools in failures
        if rule in checking.DROPPING
    }
    for name, threshold in (("full", None), ("good", THRESHOLD)):
        found[name] = checking.check_dataset(made, dataset(run, name), dropped, threshold)["rows"]
    good = {json.dumps(row["messages"]) for row in dataset(run, "good")}
    assert all(json.dumps(row["messages"]) in good for row in dataset(run, "few"))
    grader = run.results["graders"]["quality"]
    assert grader["calls_made"] == 0 and "no recorded reply" not in grader["unscored_reasons"]
    return {**found, "unscored": dict(grader["unscored_reasons"]), "verdict": run.verdict}


def dataset(run: Run, name: str) -> list[Record]:
    """The rows of a dataset's file."""
    lines = (run.folder / "datasets" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def check_loss(
    rows: Sequence[Record], tokenizer: Any, wanted: Callable[[Record], tuple[list[int], list[int]]]
) -> dict[str, int]:
    """Compare tokens and loss of alpaqual's job with those of `wanted`, a row's ids and labels. Returns figures."""
    from alpaqual.job import Text
    from alpaqual.trainers.fsdp_job.tokenization import tokenize

    examples = tokenize(rows, tokenizer, Text("chat", "response", 100_000, "drop")).all
    learned = 0
    for row, example in zip(rows, examples, strict=True):
        ids, labels = wanted(row)
        own = {at for start, end in example.loss for at in range(start, end)}
        assert list(example.tokens) == ids, row["id"]
        assert [token if at in own else -100 for at, token in enumerate(ids)] == labels, row["id"]
        learned += len(own)
    return {"rows": len(rows), "tokens": sum(len(each.tokens) for each in examples), "with loss": learned}


def run(recipe: Path) -> Run:
    """Run the recipe in this process."""
    assert all((recipe.parent / name).is_file() for name in FILES)
    return alpaqual.run(recipe)
