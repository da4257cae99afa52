"""`plan.sql` of recipes whose rows SQL does not read: pasted into duckdb, it gives the fates of the run."""

from __future__ import annotations

import duckdb
import pytest
from conftest import Project

RULE = "- {id: thanks, column: response, check: {str_length: {min: 5}}, fail: 100%, drop: true}\n"
SCORED = "{good: {threshold: {kept: 3}, quotas: {maths: {min_rows: 12}}}, few: {sample: {like: good}, seed: 4}, full: {file: parquet}}"


def test_conversations_can_be_pasted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [
        {
            "messages": [
                {"role": "user", "content": f"Solve the equation {n}" if n % 3 else f"Name a colour {n}"},
                {"role": "assistant", "content": "Yes." if n % 7 == 0 else f"The answer is {n}."},
            ],
            "mark": n % 6,
        }
        for n in range(60)
    ]
    project.jsonl("d.jsonl", [*data, {"messages": [{"role": "user", "content": "No answer"}], "mark": 5}])
    project.write("rules.yaml", RULE)
    project.write("maths.yaml", "category: maths\nkeywords: [equation]\n")
    more = "rules: [rules.yaml]\ncategories: [maths.yaml]\ngraders: {kept: {column: mark, scale: {min: 0, max: 5, step: 1}}}"
    project.ask("d.jsonl", more, datasets=SCORED)
    run = project.run()
    monkeypatch.chdir(run.folder)
    with duckdb.connect() as connection:
        connection.execute((run.folder / "plan.sql").read_text(encoding="utf-8")).fetchall()
        for dataset in run.results.datasets:
            pasted = connection.sql(f'SELECT id, fate, reasons FROM "fates.{dataset}" ORDER BY id').fetchall()
            ran = connection.sql(
                f"SELECT id, fate, reasons FROM 'tables/fates.parquet' WHERE dataset = '{dataset}' ORDER BY id"
            ).fetchall()
            assert pasted == ran and len(ran) >= 60
