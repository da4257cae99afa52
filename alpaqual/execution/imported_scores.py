"""Scores that a file brings in, validated before they enter the store."""

from __future__ import annotations

from pathlib import Path

from alpaqual.engines.duckdb import Database, QueryError
from alpaqual.errors import RecipeError
from alpaqual.execution.compression import verify_compressed_file
from alpaqual.execution.inspection import format_of
from alpaqual.plan.columns import stored_column
from alpaqual.quote import name
from alpaqual.recipe.explain import suggest
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.recipe import Recipe
from alpaqual.registry import find
from alpaqual.store.frames import write_imported

_BATCH = 2_000


def import_table(database: Database, recipe: Recipe, grader_name: str, target: Path) -> None:
    """Read a file of scores, validate it and write it to `target` as (key, score).

    Raises RecipeError where it has no such columns, StageError where pandera finds it wrong.
    """
    grader = recipe.graders[grader_name]
    path = recipe.folder / str(grader.table)
    place = ("graders", grader_name, "table")
    kind = format_of(str(path))
    if kind is None:
        raise RecipeError(
            [recipe.problem(place, f"cannot tell the format of {grader.table}: use .csv, .json, .jsonl or .parquet")]
        )
    relation = find("sources", kind)().look([str(path)])
    try:
        columns = database.describe(relation)
    except QueryError as error:
        raise RecipeError([recipe.problem(place, f"{grader.table} cannot be read: {error.reason}")]) from None
    try:
        verify_compressed_file(str(path))
    except ValueError as error:
        raise RecipeError([recipe.problem(place, str(error))]) from None
    missing = [
        recipe.problem(
            place,
            f"{grader.table} has no column '{column}'{suggest(column, columns) or '; there are: ' + ', '.join(columns)}",
        )
        for column in (grader.key, grader.score)
        if column not in columns
    ]
    if missing:
        raise RecipeError(missing)
    rows = database.batches(f"SELECT {_key(database, grader)}, {_number(name(grader.score))} FROM {relation}", _BATCH)
    try:
        write_imported(rows, target, str(grader.table))
    except QueryError as error:
        raise RecipeError([recipe.problem(place, f"{grader.table} cannot be read: {error.reason}")]) from None


def _key(database: Database, grader: Grader) -> str:
    """The key as the rows show theirs: they keep every number as DOUBLE, and write the 7 of a table as 7.0."""
    text = f"CAST({name(grader.key)} AS VARCHAR)"
    kind = database.describe("rows").get(stored_column(grader.key.removeprefix("source.")), "VARCHAR")
    return text if kind == "VARCHAR" else f"COALESCE(CAST(TRY_CAST({text} AS {kind}) AS VARCHAR), {text})"


def _number(score: str) -> str:
    """The score as a number. What is there and is none becomes NaN, so that it is not taken for one that is missing."""
    text = f"LOWER(TRIM(CAST({score} AS VARCHAR)))"
    number = f"COALESCE(TRY_CAST({text} AS DOUBLE), CAST('nan' AS DOUBLE))"
    cases = f"WHEN {text} IS NULL OR {text} = '' THEN NULL WHEN {text} = 'true' THEN 1 WHEN {text} = 'false' THEN 0"
    return f"CAST(CASE {cases} ELSE {number} END AS DOUBLE)"
