"""The same run writes the same bytes, on any number of threads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from conftest import Project

RECIPE = """\
version: 1
name: r
sources: [{path: data.jsonl}]
rules: [{id: short, column: response, check: {str_length: {min: 3}}, drop: true}]
categories: [{category: sevens, keywords: ['7']}]
graders: {g: {column: score, scale: {min: 0, max: 5}}}
datasets:
  full: {}
  good: {threshold: {g: 3}, quotas: {sevens: {min_rows: 9000}}, split: {train: 0.8, test: 0.2, by: score}}
  few: {from: good, sample: 500}
"""


def digests(folder: Path) -> dict[str, str]:
    files = [*folder.glob("tables/*.parquet"), *folder.glob("datasets/*")]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_tables_and_datasets_have_the_same_bytes_in_every_run(tmp_path: Path) -> None:
    rows = [{"instruction": f"q{n}", "output": "a" * (n % 50), "score": n % 11 / 2} for n in range(30_000)]
    found = []
    for threads in (1, 4, 4):
        again = Project(tmp_path / f"run{len(found)}")
        again.write(".git/HEAD", "")
        again.jsonl("data.jsonl", rows)
        again.write("recipe.yaml", RECIPE)
        found.append(digests(again.run(sets=[f"engine.threads={threads}"]).folder))
    assert {"fates.parquet", "rows.parquet", "failures.parquet", "good.test.jsonl"} <= found[0].keys()
    assert found == found[:1] * 3
