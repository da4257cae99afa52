"""Checks before most of the cost: golden rows, repeated requests, and the scores of the pilot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.errors import RecipeError, StageError
from alpaqual.execution.graded_items import Reading, stream, text_of_value
from alpaqual.execution.grading import OTHER_ROWS, Grading, first_rows
from alpaqual.execution.imported_scores import reading_table
from alpaqual.execution.known_scores import golden_measures
from alpaqual.execution.limits import share_beyond
from alpaqual.prompt_slots import named_slots, slot_key
from alpaqual.recipe.graders import Calibrate, Golden, Grader, Repeats, Scale, ShareLimits
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.score_names import scales_of, score_name
from alpaqual.values import Request, Row

_ROWS_PER_QUERY = 2_000
_RESPONSE = ("response", "output")
_MIN_ROWS = 20
"""Fewest scored rows for a share of the most frequent score."""


@dataclass(frozen=True)
class Known:
    """A row and its known scores: one, or one for each that the grader asks for at once."""

    row: Row
    scores: tuple[float, ...]


def read_golden(engine: Engine, recipe: Recipe, grader_name: str, golden: Golden | Calibrate) -> list[Known]:
    """The rows of a golden file, or of one that a grader is calibrated by.

    The column `score` has the known score; where a grader asks for several, there is a column for each. What the prompt shows
    besides is in columns of those names. Raises RecipeError where the file lacks a column, or a row has no instruction, no
    response or no score on the scale.
    """
    calibrates = isinstance(golden, Calibrate)
    place = ("graders", grader_name, *(("calibrate",) if calibrates else ("health", "golden")), "file")
    scales = {part or "score": scale for part, scale in scales_of(recipe.graders[grader_name]).items()}
    slots = named_slots(recipe.prompts.get(grader_name, ""))
    shown = [column for _, column in slots]
    wanted = [(column,) for column in dict.fromkeys(["instruction", *scales, *shown])]
    with reading_table(engine, recipe, golden.file, place, wanted, ("input", *_RESPONSE)) as texts:
        response = next((texts[column] for column in _RESPONSE if column in texts), None)
        if response is None:
            raise RecipeError([recipe.problem(place, f"{golden.file} has no column 'response'")])
        given = f"COALESCE(CAST({texts['input']} AS VARCHAR), '')" if "input" in texts else "''"
        numbers = [f"TRY_CAST({texts[column]} AS DOUBLE)" for column in scales]
        others = [f"CAST({texts[column]} AS VARCHAR)" for column in shown]
        columns = ", ".join([f"CAST({texts['instruction']} AS VARCHAR)", given, f"CAST({response} AS VARCHAR)"])
        query = f"SELECT {', '.join([columns, *numbers, *others])} FROM table_file"
        rows = [row for batch in engine.rows(query, _ROWS_PER_QUERY) for row in batch]
    known = []
    for number, (instruction, text, answer, *found) in enumerate(rows, 1):
        scores, values = tuple(found[: len(scales)]), found[len(scales) :]
        ranges = zip(scores, scales.values(), strict=True)
        if None in (instruction, answer, *scores) or any(
            not scale.min <= score <= scale.max for score, scale in ranges
        ):
            each = " and ".join(f"a {column} from {scale.min:g} to {scale.max:g}" for column, scale in scales.items())
            message = f"row {number} of {golden.file} needs an instruction, a response and {each}"
            raise RecipeError([recipe.problem(place, message)])
        named = {slot_key(*slot): text_of_value(value) for slot, value in zip(slots, values, strict=True)}
        row = Row(f"{'people' if calibrates else 'golden'}-{number}", instruction, text, answer, values=named)
        known.append(Known(row, scores))
    if not known:
        raise RecipeError([recipe.problem(place, f"{golden.file} has no rows")])
    return known


async def golden_facts(
    grading: Grading, known: Iterable[Known], golden: Golden, scales: Mapping[str, Scale]
) -> dict[str, Any]:
    """Grade the golden rows; returns how many of them got a wrong score or none, and how the scores compare.

    `scales` has the scale of each of several scores, by name; of one score, under "".

    Raises StageError where sending had to stop, or the share of wrong rows exceeds its limit.
    """
    rows = list(known)
    grades = await grading.grades([each.row for each in rows])
    # Rows without a reply do not count.
    pairs = [(grade, each) for grade, each in zip(grades, rows, strict=True) if not grade.retry]
    found = {}
    for index, (part, scale) in enumerate(scales.items()):
        compared = [(each.scores[index], grade.values[index] if grade.values else None) for grade, each in pairs]
        found[part] = golden_measures(grading.engine, compared, golden.within, scale)
        if _fails(golden, found[part]["wrong"], len(pairs)):
            raise StageError(
                f"grader {_named(grading, part)}: {found[part]['wrong']:,} of {len(pairs):,} rows of {golden.file} are scored more than "
                f"{golden.within:g} off, or not at all (fails above {golden.fail}); stopped before the rows of the sources"
            )
    return {"golden": found[""]} if "" in found else {"score_golden": found}


def _named(grading: Grading, part: str) -> str:
    return score_name(grading.name, part) if part else grading.name


async def repeats_facts(grading: Grading, repeats: Repeats, parts: Sequence[str]) -> dict[str, Any]:
    """Grade a few rows twice; returns how many of them got another score the second time, for each score of `parts`.

    Raises StageError where sending had to stop, or the share of different scores exceeds its limit.
    """
    rows = repeated_rows(grading.engine, grading.only, repeats, grading.reading)
    before = replace(grading.client.usage)
    first = await grading.grades(rows)
    if grading.client.usage.calls_made == before.calls_made:
        # The pilot counted these replies already.
        grading.client.usage = before
    second = await grading.grades(rows, repeat=1)
    both = [(one.values, two.values) for one, two in zip(first, second, strict=True) if one.values and two.values]
    found = {}
    for index, part in enumerate(parts or [""]):
        different = sum(one[index] != two[index] for one, two in both)
        found[part] = {"rows": len(rows), "compared": len(both), "different": different}
        if _fails(repeats, different, len(both)):
            what = "turns" if grading.reading.turns else "rows"
            raise StageError(
                f"grader {_named(grading, part)}: {different:,} of {len(both):,} {what} got another score for the same request "
                f"(fails above {repeats.fail}); stopped after the pilot"
            )
    return {"score_repeats": found} if parts else {"repeats": found[""]}


def repeated_rows(engine: Engine, only: str, repeats: Repeats, reading: Reading) -> list[Row]:
    """The rows, or all turns of the rows, that are graded twice; the pilot contains them."""
    once = replace(reading, samples=1)
    return [item.row for item in stream(engine, f"n IN ({first_rows(only, repeats.rows)})", once)]


def extra_requests(
    engine: Engine, only: str, plugin: GraderPlugin, grader: Grader, known: Iterable[Known], reading: Reading
) -> Iterator[Request]:
    """The requests about golden rows and repeats, besides those about the rows that meet a condition (SQL)."""
    samples = range(grader.samples)
    for each in known:
        request = plugin.request(each.row)
        yield from (replace(request, repeat=sample) for sample in samples)
    if grader.health.repeats is not None:
        for row in repeated_rows(engine, only, grader.health.repeats, reading):
            request = plugin.request(row)
            yield from (replace(request, repeat=grader.samples + sample) for sample in samples)


def check_pilot(grading: Grading, grader: Grader) -> None:
    """Raise StageError where the scores of the pilot show that scores of the other rows would be useless."""
    samples = grading.reading.samples
    done, left = grading.loop.done // samples, (grading.loop.total - grading.loop.done) // samples
    if not done or not left or not grader.live or grading.client.offline or all_paid(grading):
        return
    scored = done - grading.unscored
    what = "turns" if grading.reading.turns else "rows"
    so_far = f"grader {grading.name}: the pilot of {done:,} {what}"
    stop = f"stopped before the other {left:,}"
    if not scored:
        reason, rows = grading.sink.reasons.most_common(1)[0]
        hint = "; 'max_tokens' may be too small for this model" if "empty" in reason or "thinking" in reason else ""
        hint = "; raise max_tokens" if reason == "cut" else hint
        raise StageError(f"{so_far} gave no score at all ({reason}: {rows:,}){hint}; {stop}")
    if scored < _MIN_ROWS:
        return
    for part, counter in zip(list(grader.scores or ()) or [""], grading.sink.scores, strict=True):
        limits = limits_of(grader, part)
        score, rows = counter.most_common(1)[0]
        if limits is not None and _fails(limits, rows, scored):
            raise StageError(
                f"grader {_named(grading, part)}: the pilot of {done:,} {what} gave {score:g} to {rows:,} of {scored:,} "
                f"(most_frequent fails above {limits.fail}): such scores rank few rows; {stop}. Try another model, dimension or scale"
            )


def limits_of(grader: Grader, part: str) -> ShareLimits | None:
    """The limits on the most frequent score, of the score `part` where a grader asks for several."""
    own = grader.scores[part].health.most_frequent if grader.scores and part else None
    return own or grader.health.most_frequent


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
