"""Quarantine has the beginning of the line of a row that could not be read."""

from __future__ import annotations

import gzip

import polars as pl
import pytest
from conftest import Project

BROKEN = "{broken" + "x" * 300
CASES = {
    "d.csv": (b"instruction,output\nq,a\nq2,a2,too many\n\nq3,a3\n\"one\nand two\",x,y\n", ["q2,a2,too many", '"one']),
    "d.jsonl": (b'{"instruction": "q", "output": "a"}\r\n\n' + BROKEN.encode() + b'\n[1, "\xff"]\n7', [BROKEN[:200], '[1, "�"]', "7"]),
    "old.csv": ("instruction,output\rq,a\rfünf,b,c\r".encode("latin-1"), ["fünf,b,c"]),
}  # fmt: skip


@pytest.mark.parametrize("file", CASES)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_text(project: Project, file: str, ending: str) -> None:
    content, texts = CASES[file]
    project.write(file + ending, gzip.compress(content) if ending else content)
    more = "max_quarantined: 100%" + ("\nencoding: latin-1" if file == "old.csv" else "")
    project.ask(file + ending, source=more)
    run = project.run()
    found = pl.read_parquet(run.folder / "tables/quarantine.parquet").sort("position")
    assert found["text"].to_list() == texts
