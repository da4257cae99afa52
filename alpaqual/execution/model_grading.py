"""Grades the rows of a stage with the grader's model: golden rows, the pilot, repeats, and then all rows."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from alpaqual.contracts import BatchModel
from alpaqual.execution.accounts import open_spending
from alpaqual.execution.batches import fetch_batches
from alpaqual.execution.calibration import distinct_rows, fit_calibration, not_among, rated, read_people
from alpaqual.execution.graded_items import GradeSink, Reading, TurnSink
from alpaqual.execution.grading import OTHER_ROWS, PILOT, PILOT_ROWS, Grading, first_rows
from alpaqual.execution.models import open_client, open_model
from alpaqual.execution.options import RunOptions
from alpaqual.execution.pilot import (
    Known,
    check_pilot,
    extra_requests,
    golden_facts,
    pilot_size,
    read_golden,
    repeats_facts,
)
from alpaqual.inference.limit import Spending
from alpaqual.plan.grading import GradeStage, asked_rows
from alpaqual.plan.prompts import grader_plugin, prompt_settings, request_model
from alpaqual.plan.tables import GRADED, TURNS_GRADED, score_columns
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.score_names import scales_of
from alpaqual.store.grades import GradeParts, ScoreColumn
from alpaqual.store.ledger import Ledger
from alpaqual.store.spending import SharedSpending

if TYPE_CHECKING:
    from alpaqual.execution.execution import Execution

Result = TypeVar("Result")
_NOT_OF_REQUESTS = ("reply", "repeats", "samples", "turns", "cascade", "version")
"""Settings of a grader that change no request."""


def grade_with_model(execution: Execution, grader_name: str, folder: Path) -> Mapping[str, Any]:
    """Grade every row with the grader's model, and write Parquet files into the folders of GRADED and TURNS_GRADED.

    Those are in `folder`; a grader of whole rows leaves the second out. Returns calls, tokens and cost. Raises StageError where sending had to stop, MachineError, RecipeError, StoreError.
    """
    engine, plan, options, ledger = execution.engine, execution.plan, execution.options, execution.ledger
    grader = plan.recipe.graders[grader_name]
    plugin = grader_plugin(grader, plan.recipe.prompts.get(grader_name), request_model(str(grader.model), plan.digests))
    low, high, how, columns = grader.scale.min, grader.scale.max, grader.of_turns, columns_of(grader)
    parts = GradeParts(grader_name, folder / GRADED.name, low, high, scores=columns)
    sink = GradeSink(parts, grader.samples)
    if how is not None:
        of_turns = GradeParts(grader_name, folder / TURNS_GRADED.name, low, high, turns=True, scores=columns)
        sink = TurnSink(parts, of_turns, how, grader.samples)
    stage = plan.find(GradeStage, grader_name)
    reading = Reading(how is not None, grader.samples, stage.slots if stage is not None else ())
    only = asked_rows(grader, plan.recipe.dropping)
    engine.create(PILOT, first_rows(only, pilot_size(grader)), "choosing the pilot")
    golden = grader.health.golden if grader.live else None
    known = read_golden(engine, plan.recipe, grader_name, golden) if golden else []
    people = read_people(engine, plan.recipe, grader_name)

    async def work(spending: Spending | None) -> dict[str, Any]:
        client = open_client(grader, plan.recipe, ("graders", grader_name), options, ledger, spending)
        try:
            grading = Grading(grader_name, plugin, client, engine, sink, only, reading)
            return await _grade(grading, grader, known, people, options, ledger.path / "batches")
        finally:
            await client.model.close()

    with rare_garbage_collection(), engine.streaming(), shared_spending(execution, grader_name) as spending:
        return run_async(work(spending))


async def _grade(
    grading: Grading, grader: Grader, known: list[Known], people: list[Known], options: RunOptions, batches: Path
) -> dict[str, Any]:
    """Golden rows, people's rows, pilot and repeats first: they may stop the run before most of its cost."""
    client, golden = grading.client, grader.health.golden
    if client.budget.includes_reused:
        # Replies that other processes wrote until now are part of this sum, and count once.
        client.budget.mark()
        client.ledger.refresh()
        client.ledger.reset_external()
        extra = extra_requests(
            grading.engine, grading.only, grading.plugin, grader, [*known, *not_among(people, known)], grading.reading
        )
        client.budget.add_known(grading.original_cost(extra))
    facts: dict[str, Any] = {}
    if golden is not None and grader.live:
        facts |= await golden_facts(grading, known, golden, scales_of(grader))
    if people:
        facts["calibration"] = [await calibration_facts(grading, grader, people)]
    # Single requests also in batch mode, so that a prompt without scores is found in minutes, not in a day.
    await grading.grade_rows(PILOT_ROWS, options.watch, last=False)
    check_pilot(grading, grader)
    if grader.live and grader.health.repeats is not None:
        facts |= await repeats_facts(grading, grader.health.repeats, list(grader.scores or ()))
    if grader.mode == "batch" and client.model.BATCH_REQUESTS:
        model = cast(BatchModel, client.model)
        await fetch_batches(grading.loop, lambda: grading.stream(OTHER_ROWS), model, grader, batches)
    await grading.grade_rows(OTHER_ROWS, options.watch)
    return {**grading.facts(), **facts}


async def calibration_facts(grading: Grading, grader: Grader, people: list[Known]) -> dict[str, Any]:
    """Grade the rows that people scored, and fit the map from the grader's scores to theirs.

    Raises StageError where sending had to stop, or no useful map can be fitted.
    """
    before = replace(grading.client.usage)
    grades = await grading.grades(list(distinct_rows(people).values()))
    golden = grader.health.golden
    same = golden is not None and grader.calibrate is not None and golden.file == grader.calibrate.file
    if same and grading.client.usage.calls_made == before.calls_made:
        # The golden rows counted these replies already.
        grading.client.usage = before
    return fit_calibration(grading.name, grader, rated(people, [grade.score for grade in grades]))


def columns_of(grader: Grader) -> list[ScoreColumn]:
    """The columns of a grader's scores, each with its scale."""
    columns = score_columns(list(grader.scores or ()))
    spreads = score_columns(list(grader.scores or ()), spread=True)[1::2] if grader.samples > 1 else [""] * len(columns)
    return [
        ScoreColumn(column, scale.min, scale.max, spread)
        for column, spread, scale in zip(columns, spreads, scales_of(grader).values(), strict=True)
    ]


@contextmanager
def shared_spending(execution: Execution, grader_name: str) -> Iterator[SharedSpending | None]:
    """What all processes spend on this grader's requests; None where it asks no provider.

    Graders of the same model and prompt share it, whatever their names: each uses the replies of the others. Raises StoreError.
    """
    plan = execution.plan
    grader = plan.recipe.graders[grader_name]
    model = request_model(str(grader.model), plan.digests)
    settings = prompt_settings(grader, plan.recipe.prompts.get(grader_name), model)
    identity = {key: value for key, value in settings.items() if key not in _NOT_OF_REQUESTS}
    spending = open_spending(execution, grader, grader_name, identity)
    try:
        yield spending
    finally:
        if spending is not None:
            spending.close()


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Collect garbage rarely: requests leave enough objects to collect twice a second, imported modules included."""
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(10_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end, also inside a notebook, whose own event loop is running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


def check_model(
    recipe: Recipe, settings: ModelSettings, done: Callable[[], bool], ledger: Ledger, *, offline: bool
) -> None:
    """Check before any stage runs that a live model can be opened, unless its stage is `done`.

    Raises MachineError where this machine lacks what the model needs, unless stored results or replies can do without it.
    """
    if not offline and not len(ledger) and not done():
        run_async(open_model(settings, recipe.folder).close())
