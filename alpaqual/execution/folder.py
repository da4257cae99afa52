"""The run folder: stored tables under their public names, and the texts beside them; `results.json` comes last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpaqual.engines.duckdb import opened
from alpaqual.execution.executor import Execution, plan_sql, stage_record
from alpaqual.plan.plan import Plan, fingerprint
from alpaqual.quote import name
from alpaqual.store.store import Result, Store, clear_halves, place_file, write_whole

RESULTS = "results.json"
STAGES = "stages.json"


def fill_folder(plan: Plan, execution: Execution, store: Store, folder: Path) -> None:
    """Put everything but `results.json` and the reports into the run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    results = execution.results
    tables = folder / "tables"
    for stage, table in (
        ("loading", "rows"),
        ("loading", "quarantine"),
        ("checking", "failures"),
        ("categorising", "members"),
    ):
        if stage in results:
            place_file(results[stage].table(table), tables / f"{table}.parquet")
    graders = {
        g: results[f"grading.{g}"].table(f"grades.{g}") for g in plan.recipe.graders if f"grading.{g}" in results
    }
    if graders:
        place_file(_joined_grades(store, results, graders), tables / "grades.parquet")
    datasets = [dataset for dataset in plan.recipe.datasets if f"selecting.{dataset}" in results]
    if datasets:
        place_file(_joined_fates(store, results, datasets), tables / "fates.parquet")
    _place_datasets(results, datasets, folder / "datasets")
    write_whole(folder / "plan.sql", plan_sql(plan))
    write_whole(folder / STAGES, stage_record(plan))


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Write `results.json`."""
    write_whole(folder / RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _place_datasets(results: Mapping[str, Result], datasets: list[str], target: Path) -> None:
    for dataset in datasets:
        place_file(results[f"selecting.{dataset}"].folder / f"dataset.{dataset}.jsonl", target / f"{dataset}.jsonl")
    for stale in target.glob("*.jsonl") if target.is_dir() else ():
        if stale.stem not in datasets:
            stale.unlink()


def _joined_grades(store: Store, results: Mapping[str, Result], graders: Mapping[str, Path]) -> Path:
    """One table of all graders' grades, kept in the store like a stage's result."""
    return _joined(
        store,
        "grades",
        {g: results[f"grading.{g}"].fingerprint for g in graders},
        {f"grades.{g}": path for g, path in graders.items()},
    )


def _joined_fates(store: Store, results: Mapping[str, Result], datasets: list[str]) -> Path:
    tables = {f"fates.{d}": results[f"selecting.{d}"].table(f"fates.{d}") for d in datasets}
    return _joined(store, "fates", {d: results[f"selecting.{d}"].fingerprint for d in datasets}, tables)


def _joined(store: Store, table: str, inputs: Mapping[str, str], tables: Mapping[str, Path]) -> Path:
    if len(tables) == 1:
        return next(iter(tables.values()))
    key = fingerprint({"joined": table, "inputs": dict(inputs)})
    result = store.find(key)
    if result is None:
        with store.making() as folder, opened(tables) as database:
            selects = [f"SELECT * FROM {name(part)}" for part in tables]
            database.write_parquet("\nUNION ALL\n".join(selects), folder / f"{table}.parquet", f"joining {table}")
            result = store.seal(folder, key, {}, {"joined": table}, inputs)
    return result.table(table)


def clear_reports(folder: Path) -> None:
    """Take the last run's verdict and reports away before a new one starts: what is there is never out of date."""
    for stale in (RESULTS, "report.md", "report.html", "junit.xml"):
        (folder / stale).unlink(missing_ok=True)
    for part in (folder, folder / "tables", folder / "datasets"):
        clear_halves(part)


def clear_data(folder: Path) -> None:
    """Take the tables and datasets of an earlier run away; the store has them all."""
    for part in ("tables", "datasets"):
        for path in (folder / part).glob("*.*"):
            path.unlink(missing_ok=True)
