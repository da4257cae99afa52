"""Recipe -> SQL and report, kept as files: what changes in them is seen, and is what runs.

`ALPAQUAL_BLESS=1 pytest tests/golden` writes them anew; the diff is then for a person to read.
"""

import os
import re
import shutil
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import ErrorLevel

import alpaqual
from alpaqual.plan.selecting import SelectStage
from alpaqual.plan.stage import KeptTable, TemporaryTable

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())
GOLDEN = ("plan.sql", "report.md")
NUMBER = "[0-9]+(?:[.]|&#46;)[^ ]+"
BLESS = os.environ.get("ALPAQUAL_BLESS") == "1"


def test_there_are_cases():
    assert len(NAMES) >= 4


@pytest.fixture(scope="module", params=NAMES)
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


class Case:
    """One case in a folder of its own: `again` runs it with other threads in yet another."""

    def __init__(self, name, folder):
        self.name, self.golden, self.base = name, CASES / name, folder
        self.run = self.again("first")

    def again(self, place, *sets):
        project = self.base / place
        project.mkdir()
        (project / ".git").mkdir()
        for path in self.golden.iterdir():
            if path.name not in GOLDEN:
                shutil.copy(path, project / path.name)
        return alpaqual.run(project / "recipe.yaml", sets=sets)


def text_of(run, file):
    """A file of a run without what differs from machine to machine and from version to version."""
    text = (run.folder / file).read_text(encoding="utf-8")
    project = str(run.folder.parents[1])
    text = text.replace(project, "/project").replace(f"alpaqual {alpaqual.__version__} ", "alpaqual VERSION ")
    return re.sub(f"(Python|DuckDB) {NUMBER}|(recipe) `[0-9a-f]{{12}}`| --set engine.threads=[0-9]+", r"\1\2", text)


@pytest.mark.parametrize("file", GOLDEN)
def test_the_file_is_as_it_was(case, file):
    found, path = text_of(case.run, file), case.golden / file
    if BLESS:
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 4])
def test_neither_another_run_nor_threads_change_a_byte(case, threads):
    other = case.again(f"threads{threads}", f"engine.threads={threads}")
    for file in GOLDEN:
        assert text_of(other, file) == text_of(case.run, file)
    for path in sorted((case.run.folder / "datasets").iterdir()):
        assert (other.folder / "datasets" / path.name).read_bytes() == path.read_bytes()
    reused = alpaqual.run(other.folder.parents[1] / "recipe.yaml", sets=[f"engine.threads={threads}"])
    assert all(outcome.reused for outcome in reused.outcomes)
    assert text_of(reused, "report.md") == text_of(case.run, "report.md")


def fates(connection, query):
    return sorted(
        (dataset, row, fate, sorted(reasons)) for dataset, row, fate, reasons in connection.sql(query).fetchall()
    )


def test_the_sql_pasted_into_duckdb_gives_the_same_fates(case, monkeypatch):
    monkeypatch.chdir(case.run.folder)
    with duckdb.connect() as connection:
        connection.execute(Path("plan.sql").read_text(encoding="utf-8")).fetchall()
        for dataset in case.run.results["datasets"]:
            pasted = fates(connection, f'SELECT dataset, id, fate, reasons FROM "fates.{dataset}"')
            ran = f"SELECT dataset, id, fate, reasons FROM 'tables/fates.parquet' WHERE dataset = '{dataset}'"
            assert pasted == fates(connection, ran)
            assert pasted
            rows = connection.sql(f'SELECT id, instruction, input, output FROM "dataset.{dataset}"').fetchall()
            path = Path("datasets") / f"{dataset}.jsonl"
            written = (
                connection.sql(f"SELECT id, instruction, input, output FROM read_json('{path}')") if rows else None
            )
            assert rows == (written.fetchall() if written else [])


def test_the_sql_of_a_recipe_by_a_relative_path_can_be_pasted_too(case, monkeypatch):
    project = case.run.folder.parents[1]
    monkeypatch.chdir(project)
    run = alpaqual.run("recipe.yaml", out="runs/relative")
    monkeypatch.chdir(run.folder)
    with duckdb.connect() as connection:
        connection.execute(Path("plan.sql").read_text(encoding="utf-8")).fetchall()
        for dataset in run.results["datasets"]:
            pasted = fates(connection, f'SELECT dataset, id, fate, reasons FROM "fates.{dataset}"')
            ran = f"SELECT dataset, id, fate, reasons FROM 'tables/fates.parquet' WHERE dataset = '{dataset}'"
            assert pasted == fates(connection, ran)


@pytest.mark.parametrize("dialect", ["postgres", "snowflake"])
def test_what_decides_can_be_carried_to_another_engine(case, dialect):
    plan = alpaqual.plan_recipe(case.run.folder.parents[1] / "recipe.yaml")
    decisions = [
        statement
        for stage in plan.of(SelectStage)
        for statement in stage.statements
        if isinstance(statement, TemporaryTable | KeptTable)
    ]
    assert decisions
    for statement in decisions:
        (there,) = sqlglot.transpile(statement.sql, read="duckdb", write=dialect, unsupported_level=ErrorLevel.RAISE)
        assert sqlglot.parse_one(there, read=dialect) is not None
