"""Imports scores from files, validated before they enter the store, and reads small tables that a recipe names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from alpaqual.compression import verify_compressed_file
from alpaqual.contracts import Engine, Source
from alpaqual.delimited import delimiter_advice
from alpaqual.errors import QueryError, RecipeError, StageError
from alpaqual.plan.grading import GradeStage
from alpaqual.plan.loading import cell_text
from alpaqual.plan.needs import takes_truths, without_numbers
from alpaqual.plan.source_columns import LARGE_WHOLE, ROW, SOURCE
from alpaqual.plan.tables import Table
from alpaqual.quote import name
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.yaml_nodes import Path as Place
from alpaqual.sources import endings, format_of, open_source
from alpaqual.store.grades import write_imported
from alpaqual.values import Scan, SourceFile


def import_scores(engine: Engine, recipe: Recipe, stage: GradeStage, target: Path) -> None:
    """Read a grader's file of scores, validate it and write it to `target` as (key, score, text of the score).

    Raises RecipeError where it cannot be read or lacks a column, StageError where a check fails.
    """
    grader = recipe.graders[stage.grader]
    place: Place = ("graders", stage.grader, "table")
    keys = key_columns(grader.key)
    with reading_table(engine, recipe, str(grader.table), place, ((*keys,), (grader.score,))) as texts:
        key, score = next(texts[each] for each in keys if each in texts), texts[grader.score]
        if not list(engine.facts(f"SELECT 1 AS found FROM {_TABLE} LIMIT 1", stage.name)):
            raise RecipeError([recipe.problem(place, f"{grader.table} has no rows")])
        truths = takes_truths(grader.scale)
        for found in engine.facts(without_numbers(score, str(_TABLE), truths=truths), stage.name):
            message = f"the column '{grader.score}' of {grader.table} holds no number, such as {found['sample']}"
            hint = "; true and false are scores on a scale of 0 to 1" if found["sample"].lower() in _TRUTHS else ""
            raise RecipeError([recipe.problem(("graders", stage.grader, "score"), message + hint)])
        query = (
            f"SELECT {_key(key, stage.key_type)} AS key, {_number(score, truths=truths)} AS score, "
            f"CAST({score} AS VARCHAR) AS text FROM {_TABLE}"
        )
        try:
            write_imported(engine, query, target, str(grader.table))
        except StageError as error:
            raise StageError(str(recipe.problem(place, str(error)))) from None


_TABLE = Table("table_file")
_TRUTHS = ("'true'", "'false'")


@contextmanager
def reading_table(
    engine: Engine,
    recipe: Recipe,
    file: str,
    place: Place,
    wanted: Sequence[Sequence[str]],
    optional: Sequence[str] = (),
) -> Iterator[Mapping[str, str]]:
    """Load a small file that a recipe names as the table `table_file`; yields SQL of the text of each column.

    Of each sequence of `wanted`, the first column that is there is read. Raises RecipeError, at `place` of the recipe, where it cannot be read or lacks a column that is wanted.
    """
    path = str(recipe.folder / file)
    kind = format_of(path)
    if kind is None:
        message = f"cannot tell the format of {file}: use {endings()}"
        raise RecipeError([recipe.problem(place, message)])
    try:
        verify_compressed_file(path)
        plugin = open_source(kind)
        scan = Scan(_TABLE.name, file, kind, plugin.CELLS, (SourceFile(path, "", 0),), ())
        columns = _columns(engine, scan, plugin)
        if kind in ("csv", "tsv") and delimiter_advice(columns):
            message = (
                f"{file} has one column, '{columns[0]}': separate columns by {'commas' if kind == 'csv' else 'tabs'}"
            )
            raise RecipeError([recipe.problem(place, message)])
        missing = [
            f"{file} has no column '{either[0]}'{suggest(either[0], columns) or '; there are: ' + ', '.join(columns)}"
            for either in wanted
            if not set(either) & set(columns)
        ]
        if missing:
            raise RecipeError([recipe.problem(place, message) for message in missing])
        found = [next(column for column in either if column in columns) for either in wanted]
        found += [column for column in optional if column in columns]
        scan = replace(scan, columns=tuple(dict.fromkeys(found)))
        unreadable = engine.load(scan, plugin.rows)
        if unreadable:
            raise RecipeError([recipe.problem(place, f"{file} cannot be read: {unreadable[0][1]}")])
        yield {column: cell_text(plugin.CELLS, name(cell)) for column, cell in scan.names.items()}
    except QueryError as error:
        raise RecipeError([recipe.problem(place, f"{file} cannot be read: {error.reason}")]) from None
    except ValueError as error:
        raise RecipeError([recipe.problem(place, f"{file}: {error}")]) from None
    finally:
        engine.drop(_TABLE.name)


def _columns(engine: Engine, scan: Scan, plugin: Source) -> list[str]:
    """Names of the columns of a table: from the engine's reader, else from the rows that the plug-in yields."""
    try:
        if engine.reads(scan.format):
            return list(engine.describe(scan).columns)
    except QueryError:
        if scan.cells == "typed":
            raise
    rows = (row for row, _ in plugin.rows(scan.files[0].path))
    return list(dict.fromkeys(column for row in rows for column in row or ()))


def key_columns(key: str) -> tuple[str, ...]:
    """The columns of a table that may have the key of a recipe; the first that is there is read."""
    if key == f"{ROW}id":
        return (key, "row_id", "id")
    plain = next((key.removeprefix(prefix) for prefix in (ROW, SOURCE) if key.startswith(prefix)), key)
    return tuple(dict.fromkeys((key, plain)))


def _key(key: str, kind: str) -> str:
    """SQL: the key in the format of `rows`: the 7.0 of a table is the 7 of a column of whole numbers."""
    text = f"CAST({key} AS VARCHAR)"
    if kind == "VARCHAR":
        return text
    fits = f"REGEXP_FULL_MATCH({text}, '[+-]?[0-9]+([.]0*)?')" if kind in ("BIGINT", LARGE_WHOLE) else "TRUE"
    return f"COALESCE(CASE WHEN {fits} THEN CAST(TRY_CAST({text} AS {kind}) AS VARCHAR) END, {text})"


def _number(score: str, *, truths: bool) -> str:
    """SQL: the score as a number. A value that is not a number becomes NaN: it is not the same as a missing one."""
    text = f"LOWER(TRIM(CAST({score} AS VARCHAR)))"
    number = f"COALESCE(TRY_CAST({text} AS DOUBLE), CAST('nan' AS DOUBLE))"
    cases = f"WHEN {text} IS NULL OR {text} = '' THEN NULL"
    cases += f" WHEN {text} = 'true' THEN 1 WHEN {text} = 'false' THEN 0" if truths else ""
    return f"CAST(CASE {cases} ELSE {number} END AS DOUBLE)"
