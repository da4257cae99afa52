"""Checks before most of the cost: golden rows, repeated requests, and the scores of the pilot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.errors import RecipeError, StageError
from alpaqual.execution.graded_items import stream
from alpaqual.execution.grading import OTHER_ROWS, Grading, first_rows
from alpaqual.execution.imported_scores import reading_table
from alpaqual.execution.known_scores import compare_with_known
from alpaqual.execution.limits import share_beyond
from alpaqual.recipe.graders import Calibrate, Golden, Grader, Repeats, Scale, ShareLimits
from alpaqual.recipe.recipe import Recipe
from alpaqual.values import Request, Row

_ROWS_PER_QUERY = 2_000
_RESPONSE = ("response", "output")
_MIN_ROWS = 20
"""Fewest scored rows for a share of the most frequent score."""


@dataclass(frozen=True)
class Known:
    """A row and its known score."""

    row: Row
    score: float


def read_golden(engine: Engine, recipe: Recipe, grader_name: str, golden: Golden | Calibrate) -> list[Known]:
    """The rows of a golden file, or of one that a grader is calibrated by.

    Raises RecipeError where it lacks a column, or a row has no instruction, no response or no score on the scale.
    """
    calibrates = isinstance(golden, Calibrate)
    place = ("graders", grader_name, *(("calibrate",) if calibrates else ("health", "golden")), "file")
    scale = recipe.graders[grader_name].scale
    with reading_table(
        engine, recipe, golden.file, place, (("instruction",), ("score",)), ("input", *_RESPONSE)
    ) as texts:
        response = next((texts[column] for column in _RESPONSE if column in texts), None)
        if response is None:
            raise RecipeError([recipe.problem(place, f"{golden.file} has no column 'response'")])
        given = f"COALESCE(CAST({texts['input']} AS VARCHAR), '')" if "input" in texts else "''"
        query = (
            f"SELECT CAST({texts['instruction']} AS VARCHAR), {given}, CAST({response} AS VARCHAR), "
            f"TRY_CAST({texts['score']} AS DOUBLE) FROM table_file"
        )
        rows = [row for batch in engine.rows(query, _ROWS_PER_QUERY) for row in batch]
    for number, (instruction, _, response, score) in enumerate(rows, 1):
        if instruction is None or response is None or score is None or not scale.min <= score <= scale.max:
            message = f"row {number} of {golden.file} needs an instruction, a response and a score from {scale.min:g} to {scale.max:g}"
            raise RecipeError([recipe.problem(place, message)])
    if not rows:
        raise RecipeError([recipe.problem(place, f"{golden.file} has no rows")])
    return [
        Known(Row(f"{'people' if calibrates else 'golden'}-{n}", *row[:3]), row[3]) for n, row in enumerate(rows, 1)
    ]


async def golden_facts(grading: Grading, known: Iterable[Known], golden: Golden, scale: Scale) -> dict[str, Any]:
    """Grade the golden rows; returns how many of them got a wrong score or none, and how the scores compare.

    Raises StageError where sending had to stop, or the share of wrong rows exceeds its limit.
    """
    rows = list(known)
    grades = await grading.grades([each.row for each in rows])
    # Rows without a reply do not count.
    pairs = [(grade, each) for grade, each in zip(grades, rows, strict=True) if not grade.retry]
    rows = [each for _, each in pairs]
    errors = [round(abs(g.score - each.score), 9) for g, each in pairs if g.score is not None]
    wrong = len(rows) - sum(error <= golden.within for error in errors)
    mean = round(sum(errors) / len(errors), 6) if errors else None
    facts = {"rows": len(rows), "scored": len(errors), "wrong": wrong, "mean_error": mean}
    facts |= compare_with_known(grading.engine, [(each.score, grade.score) for grade, each in pairs], scale)
    if _fails(golden, wrong, len(rows)):
        raise StageError(
            f"grader {grading.name}: {wrong:,} of {len(rows):,} rows of {golden.file} are scored more than "
            f"{golden.within:g} off, or not at all (fails above {golden.fail}); stopped before the rows of the sources"
        )
    return facts


async def repeats_facts(grading: Grading, repeats: Repeats) -> dict[str, Any]:
    """Grade a few rows twice; returns how many of them got another score the second time.

    Raises StageError where sending had to stop, or the share of different scores exceeds its limit.
    """
    rows = repeated_rows(grading.engine, grading.only, repeats, turns=grading.turns)
    before = replace(grading.client.usage)
    first = await grading.grades(rows)
    if grading.client.usage.calls_made == before.calls_made:
        # The pilot counted these replies already.
        grading.client.usage = before
    second = await grading.grades(rows, repeat=1)
    pairs = zip(first, second, strict=True)
    both = [(one.score, two.score) for one, two in pairs if one.score is not None and two.score is not None]
    different = sum(one != two for one, two in both)
    facts = {"rows": len(rows), "compared": len(both), "different": different}
    if _fails(repeats, different, len(both)):
        raise StageError(
            f"grader {grading.name}: {different:,} of {len(both):,} {grading.items} got another score for the same request "
            f"(fails above {repeats.fail}); stopped after the pilot"
        )
    return facts


def repeated_rows(engine: Engine, only: str, repeats: Repeats, *, turns: bool) -> list[Row]:
    """The rows, or all turns of the rows, that are graded twice; the pilot contains them."""
    return [item.row for item in stream(engine, f"n IN ({first_rows(only, repeats.rows)})", turns=turns)]


def extra_requests(
    engine: Engine, only: str, plugin: GraderPlugin, grader: Grader, known: Iterable[Known]
) -> Iterator[Request]:
    """The requests about golden rows and repeats, besides those about the rows that meet a condition (SQL)."""
    for each in known:
        yield plugin.request(each.row)
    if grader.health.repeats is not None:
        for row in repeated_rows(engine, only, grader.health.repeats, turns=grader.each is not None):
            yield replace(plugin.request(row), repeat=1)


def check_pilot(grading: Grading, grader: Grader) -> None:
    """Raise StageError where the scores of the pilot show that scores of the other rows would be useless."""
    done, left = grading.loop.done, grading.loop.total - grading.loop.done
    if not done or not left or not grader.live or grading.client.offline or all_paid(grading):
        return
    scored = done - grading.unscored
    so_far = f"grader {grading.name}: the pilot of {done:,} {grading.items}"
    stop = f"stopped before the other {left:,}"
    if not scored:
        reason, rows = grading.sink.reasons.most_common(1)[0]
        hint = "; 'max_tokens' may be too small for this model" if "empty" in reason or "thinking" in reason else ""
        hint = "; raise max_tokens" if reason == "cut" else hint
        raise StageError(f"{so_far} gave no score at all ({reason}: {rows:,}){hint}; {stop}")
    limits = grader.health.most_frequent
    if limits is None or scored < _MIN_ROWS:
        return
    score, rows = grading.sink.scores.most_common(1)[0]
    if _fails(limits, rows, scored):
        raise StageError(
            f"{so_far} gave {score:g} to {rows:,} of {scored:,} (most_frequent fails above {limits.fail}): such "
            f"scores rank few rows; {stop}. Try another model, dimension or scale"
        )


def all_paid(grading: Grading) -> bool:
    """Whether the ledger has the replies about all other rows: there is no cost left to avoid."""
    return all(grading.loop.next_request(item) is None for item in grading.stream(OTHER_ROWS))


def _fails(limits: ShareLimits, part: int, whole: int) -> bool:
    if limits.fail is None or not whole:
        return False
    return share_beyond(part, whole, limits.fail)


def pilot_size(grader: Grader) -> int:
    """Number of rows that are graded first."""
    repeats = grader.health.repeats
    return max(grader.pilot, repeats.rows if repeats else 0) if grader.live else 0
