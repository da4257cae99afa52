"""Scores that come from outside: a table of scores, or a model's replies. Validated before they enter the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alpaqual.contracts import Model
from alpaqual.errors import RecipeError
from alpaqual.graders.model import Asking
from alpaqual.graders.reply import parse_score
from alpaqual.plan.columns import stored_column
from alpaqual.quote import name
from alpaqual.recipe.explain import suggest
from alpaqual.recipe.model import Grader
from alpaqual.recipe.recipe import Recipe
from alpaqual.registry import find
from alpaqual.run.looking import format_of
from alpaqual.run.packing import check_packing
from alpaqual.store.database import Database, QueryError
from alpaqual.store.frames import write_grades, write_imported
from alpaqual.store.ledger import Recording, request_key
from alpaqual.values import Grade, Row

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
        check_packing(str(path))
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


def grade_with_model(database: Database, recipe: Recipe, grader_name: str, target: Path) -> Mapping[str, Any]:
    """Ask the grader's model about every row, in bounded batches, and write the grades to `target`.

    Returns how many replies were reused and made, and their tokens.
    """
    grader = recipe.graders[grader_name]
    asking = asking_of(grader, recipe.prompts.get(grader_name))
    plugin = find("graders", "model")(asking, str(grader.model))
    recording = Recording(recipe.folder / str(grader.model).partition("/")[2])
    model: Model = find("llm", "recorded")(recording, request_key)
    tally = {"calls_made": 0, "calls_reused": 0, "input_tokens": 0, "output_tokens": 0}

    async def ask(rows: list[Row]) -> list[Grade]:
        grades: list[Grade] = []
        for row in rows:
            reply = await model.complete(plugin.request(row))
            if reply is None:
                grades.append(Grade(None, "no recorded reply"))
                continue
            tally["calls_reused"] += 1
            tally["input_tokens"] += reply.input_tokens or 0
            tally["output_tokens"] += reply.output_tokens or 0
            grades.append(parse_score(reply.text, grader.scale.min, grader.scale.max, grader.dimension))
        return grades

    graded: list[tuple[int, str, Grade]] = []
    for numbers, rows in _rows(database):
        graded += [(n, row.id, grade) for n, row, grade in zip(numbers, rows, asyncio.run(ask(rows)), strict=True)]
    write_grades(grader_name, graded, target, grader.scale.min, grader.scale.max)
    return {"replies": [{**tally, "models": list(recording.models())}]}


def asking_of(grader: Grader, template: str | None) -> Asking:
    """What a grader asks about every row."""
    parameters: dict[str, Any] = {"temperature": grader.temperature}
    if grader.max_tokens is not None:
        parameters["max_tokens"] = grader.max_tokens
    return Asking(grader.dimension, grader.scale.min, grader.scale.max, parameters, template)


def _rows(database: Database) -> Iterator[tuple[list[int], list[Row]]]:
    query = "SELECT n, id, COALESCE(instruction, ''), COALESCE(input, ''), COALESCE(response, '') FROM rows"
    for batch in database.batches(query, _BATCH):
        yield [row[0] for row in batch], [Row(*row[1:]) for row in batch]
