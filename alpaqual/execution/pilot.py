"""What is looked at before the full bill: rows whose score is known, the same question twice, and the first rows' scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.errors import RecipeError, StageError
from alpaqual.execution.batch_grading import next_request
from alpaqual.execution.grading import OTHER_ROWS, Grading, first_rows, stream
from alpaqual.execution.imported_scores import reading_table
from alpaqual.execution.limits import share_beyond
from alpaqual.recipe.graders import Golden, Grader, Repeats, ShareLimits
from alpaqual.recipe.recipe import Recipe
from alpaqual.values import Request, Row

_BATCH = 2_000
_RESPONSE = ("response", "output")
_FEW = 20
"""A share of fewer rows says nothing about a grader."""


@dataclass(frozen=True)
class Known:
    """A row and the score that it should get."""

    row: Row
    score: float


def read_golden(database: Engine, recipe: Recipe, grader_name: str, golden: Golden) -> list[Known]:
    """The rows of a golden file.

    Raises RecipeError where it lacks a column, or a row has no instruction, no response or no score on the scale.
    """
    place = ("graders", grader_name, "health", "golden", "file")
    scale = recipe.graders[grader_name].scale
    with reading_table(database, recipe, golden.file, place, ("instruction", "score"), ("input", *_RESPONSE)) as texts:
        response = next((texts[column] for column in _RESPONSE if column in texts), None)
        if response is None:
            raise RecipeError([recipe.problem(place, f"{golden.file} has no column 'response'")])
        given = f"COALESCE(CAST({texts['input']} AS VARCHAR), '')" if "input" in texts else "''"
        query = (
            f"SELECT CAST({texts['instruction']} AS VARCHAR), {given}, CAST({response} AS VARCHAR), "
            f"TRY_CAST({texts['score']} AS DOUBLE) FROM table_file"
        )
        rows = [row for batch in database.rows(query, _BATCH) for row in batch]
    for number, (instruction, _, response, score) in enumerate(rows, 1):
        if instruction is None or response is None or score is None or not scale.min <= score <= scale.max:
            message = f"row {number} of {golden.file} needs an instruction, a response and a score from {scale.min:g} to {scale.max:g}"
            raise RecipeError([recipe.problem(place, message)])
    if not rows:
        raise RecipeError([recipe.problem(place, f"{golden.file} has no rows")])
    return [Known(Row(f"golden-{n}", *row[:3]), row[3]) for n, row in enumerate(rows, 1)]


async def golden_facts(grading: Grading, known: Iterable[Known], golden: Golden) -> dict[str, Any]:
    """How the grader scores rows whose score is known: how many, and how many of them wrongly or not at all.

    Raises StageError where asking had to stop, or more are wrong than may be.
    """
    rows = list(known)
    grades = await grading.together([each.row for each in rows])
    # A row that nobody answered says nothing yet.
    pairs = [(grade, each) for grade, each in zip(grades, rows, strict=True) if not grade.again]
    rows = [each for _, each in pairs]
    errors = [round(abs(g.score - each.score), 9) for g, each in pairs if g.score is not None]
    wrong = len(rows) - sum(error <= golden.within for error in errors)
    mean = round(sum(errors) / len(errors), 6) if errors else None
    facts = {"rows": len(rows), "scored": len(errors), "wrong": wrong, "mean_error": mean}
    if _fails(golden, wrong, len(rows)):
        raise StageError(
            f"grader {grading.name}: {wrong:,} of {len(rows):,} rows of {golden.file} are scored more than "
            f"{golden.within:g} off, or not at all (fails above {golden.fail}); stopped before the rows of the sources"
        )
    return facts


async def repeats_facts(grading: Grading, repeats: Repeats) -> dict[str, Any]:
    """How many of some rows get another score when the same question is asked a second time.

    Raises StageError where asking had to stop, or more differ than may.
    """
    rows = repeated_rows(grading.database, grading.only, repeats)
    before = replace(grading.client.tally)
    first = await grading.together(rows)
    if grading.client.tally.made == before.made:
        # These replies are the pilot's: looking at them once more reuses nothing.
        grading.client.tally = before
    second = await grading.together(rows, repeat=1)
    pairs = zip(first, second, strict=True)
    both = [(one.score, two.score) for one, two in pairs if one.score is not None and two.score is not None]
    different = sum(one != two for one, two in both)
    facts = {"rows": len(rows), "compared": len(both), "different": different}
    if _fails(repeats, different, len(both)):
        raise StageError(
            f"grader {grading.name}: {different:,} of {len(both):,} rows got another score when asked twice "
            f"(fails above {repeats.fail}); stopped after the pilot"
        )
    return facts


def repeated_rows(database: Engine, only: str, repeats: Repeats) -> list[Row]:
    """The rows that are asked about twice: the first of the pilot, which has as many or more."""
    return [row for _, row in stream(database, f"n IN ({first_rows(only, repeats.rows)})")]


def asked_besides(
    database: Engine, only: str, plugin: GraderPlugin, grader: Grader, known: Iterable[Known]
) -> Iterator[Request]:
    """What is asked besides the rows that meet a condition (SQL): golden rows, and the same question twice."""
    for each in known:
        yield plugin.request(each.row)
    if grader.health.repeats is not None:
        for row in repeated_rows(database, only, grader.health.repeats):
            yield replace(plugin.request(row), repeat=1)


def check_pilot(grading: Grading, grader: Grader) -> None:
    """Raises StageError where the first rows show that the rest would be wasted."""
    left = grading.rows - grading.done
    if not grading.done or not left or not grader.live or grading.client.offline or all_paid(grading):
        return
    scored = grading.done - grading.unscored
    so_far = f"grader {grading.name}: the pilot of {grading.done:,} rows"
    stop = f"stopped before the other {left:,}"
    if not scored:
        reason, rows = grading.reasons.most_common(1)[0]
        hint = "; 'max_tokens' may be too small for this model" if "empty" in reason or "thinking" in reason else ""
        raise StageError(f"{so_far} gave no score at all ({reason}: {rows:,}){hint}; {stop}")
    limits = grader.health.most_frequent
    if limits is None or scored < _FEW:
        return
    score, rows = grading.scores.most_common(1)[0]
    if _fails(limits, rows, scored):
        raise StageError(
            f"{so_far} gave {score:g} to {rows:,} of {scored:,} (most_frequent fails above {limits.fail}): this grader "
            f"tells rows apart too little; {stop}. Try another model, dimension or scale"
        )


def all_paid(grading: Grading) -> bool:
    """Whether the rows behind the pilot have all been asked about before: then there is nothing left to save."""
    rest = stream(grading.database, f"{grading.only} AND {OTHER_ROWS}")
    return all(next_request(grading, row) is None for _, row in rest)


def _fails(limits: ShareLimits, part: int, whole: int) -> bool:
    if limits.fail is None or not whole:
        return False
    return share_beyond(part, whole, limits.fail)


def rows_before(grader: Grader) -> int:
    """How many rows go first."""
    repeats = grader.health.repeats
    return max(grader.pilot, repeats.rows if repeats else 0) if grader.live else 0
