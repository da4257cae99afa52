"""A recipe's grader with everything that it asks with: its model, the ledger, the pace, the budget, the rows."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alpaqual.contracts import Engine, Model
from alpaqual.errors import MachineError, RecipeError
from alpaqual.execution.batch_grading import fetch_replies
from alpaqual.execution.grading import OTHER_ROWS, PILOT, PILOT_ROWS, Grading, first_rows
from alpaqual.execution.options import RunOptions
from alpaqual.execution.pilot import asked_besides, check_pilot, golden_facts, read_golden, repeats_facts, rows_before
from alpaqual.inference.budget import Budget, Limit
from alpaqual.inference.client import InferenceClient
from alpaqual.inference.pace import Pace, Rate
from alpaqual.inference.price import FREE, Price, listed_price
from alpaqual.plan.grading import asked_rows
from alpaqual.plan.plan import Plan
from alpaqual.plan.prompts import grader_plugin, request_model
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.recipe import Recipe
from alpaqual.registry import find
from alpaqual.store.grades import GradeParts
from alpaqual.store.ledger import Ledger, Recording
from alpaqual.values import Endpoint, Reply, Request

Result = TypeVar("Result")


def grade_with_model(
    database: Engine, plan: Plan, grader_name: str, folder: Path, options: RunOptions, ledger: Ledger
) -> Mapping[str, Any]:
    """Ask the grader's model about every row, and leave the grades as Parquet files in `folder`.

    Returns what asking came to. Raises StageError where it had to stop, MachineError, StoreError.
    """
    grader = plan.recipe.graders[grader_name]
    plugin = grader_plugin(grader, plan.recipe.prompts.get(grader_name), request_model(str(grader.model), plan.digests))
    if not grader.live:
        ledger = Recording(plan.recipe.folder / str(grader.model).partition("/")[2])
    parts = GradeParts(grader_name, folder, grader.scale.min, grader.scale.max)
    only = asked_rows(grader, plan.recipe.dropping)
    database.create(PILOT, first_rows(only, rows_before(grader)), "choosing the pilot")
    golden = grader.health.golden if grader.live else None
    known = read_golden(database, plan.recipe, grader_name, golden) if golden else []

    async def work() -> dict[str, Any]:
        try:
            model = open_model(plan.recipe, grader, offline=options.offline)
        except MachineError as error:
            model = Missing(error)
        try:
            budget = budget_of(plan.recipe, grader_name, options)
            client = InferenceClient(
                model, ledger, Pace(rate_of(grader)), budget, offline=options.offline and grader.live
            )
            grading = Grading(grader_name, plugin, client, database, parts, only)
            if budget.in_all:
                # What others wrote while another grader was at work is among these, and counts once.
                ledger.forget_news()
                budget.used(grading.bought(asked_besides(database, only, plugin, grader, known)))
            health: dict[str, Any] = {}
            if golden is not None:
                health["golden"] = await golden_facts(grading, known, golden)
            # One at a time in either mode: nobody waits a day to hear that no reply can be read.
            await grading.grade_rows(PILOT_ROWS, options.watch)
            check_pilot(grading, grader)
            if grader.live and grader.health.repeats is not None:
                health["repeats"] = await repeats_facts(grading, grader.health.repeats)
            if grader.mode == "batch" and grader.live and not options.offline and not isinstance(model, Missing):
                await fetch_replies(grading, grader, ledger.path / "batches", OTHER_ROWS)
            await grading.grade_rows(OTHER_ROWS, options.watch)
            return {**grading.facts(), **health}
        finally:
            await model.close()

    with rarely_collecting(), database.streaming():
        return to_the_end(work())


@contextmanager
def rarely_collecting() -> Iterator[None]:
    """What was imported is looked through for garbage no more: a request leaves enough behind to do so twice a second."""
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(10_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end, also where a notebook's own loop is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


class Missing:
    """A model that this machine cannot ask: what the ledger has needs no key, and whoever asks it is told what lacks."""

    def __init__(self, why: MachineError) -> None:
        self.why = why

    async def complete(self, request: Request) -> Reply:
        """Raises MachineError."""
        raise self.why

    async def alive(self) -> bool:
        """There is nobody to be down."""
        return True

    async def close(self) -> None:
        """Nothing is open."""


def check_model(recipe: Recipe, grader: Grader, graded: Callable[[], bool], ledger: Ledger, *, offline: bool) -> None:
    """Check before any stage runs that the model of a live grader can be used.

    Raises MachineError where this machine lacks what the model needs, unless stored grades or replies can do without it.
    """
    if not offline and not len(ledger) and not graded():
        to_the_end(open_model(recipe, grader).close())


def open_model(recipe: Recipe, grader: Grader, *, offline: bool = False) -> Model:
    """The plug-in that answers; offline it is the one that never does.

    Raises MachineError where this machine lacks what the model needs.
    """
    provider, _, model = str(grader.model).partition("/")
    endpoint = Endpoint(
        provider,
        model,
        base_url=grader.base_url,
        timeout=grader.timeout_seconds,
        folder=str(recipe.folder),
        batch=grader.concurrency,
    )
    opened: Model = find("llm", "recorded" if offline else provider)(endpoint)
    return opened


def rate_of(grader: Grader) -> Rate:
    """How fast the recipe lets requests go out."""
    if not grader.live:
        return Rate(grader.concurrency)
    local = str(grader.model).startswith("local/")
    # A local model sorts what waits by length before it makes batches.
    in_flight = grader.concurrency * 4 if local else grader.concurrency
    return Rate(in_flight, grader.requests_per_minute, grader.tokens_per_minute, grader.patience_seconds)


def price_of(grader: Grader) -> Price | None:
    """What a grader's model costs; None where nobody knows."""
    provider, _, model = str(grader.model).partition("/")
    price = Price(grader.price.input, grader.price.output, "the recipe") if grader.price else None
    if price is None and provider in ("local", "recorded"):
        return FREE
    return price or listed_price(provider, model)


def budget_of(recipe: Recipe, grader_name: str, options: RunOptions) -> Budget:
    """The money a grader may spend: its own budget first, then what the run as a whole may cost.

    Raises RecipeError where there is a limit and no price to hold against it.
    """
    grader = recipe.graders[grader_name]
    if not grader.live:
        return Budget(FREE, [])
    price = price_of(grader)
    limits = (
        [] if grader.budget_usd is None else [Limit(f"budget_usd of {grader_name}", grader.budget_usd, in_all=True)]
    )
    limits += [] if options.max_cost is None else [options.max_cost]
    if price is None and limits:
        message = f"{limits[0].name} cannot be held: no price of {grader.model} is known; write 'price: {{input: …, output: …}}'"
        raise RecipeError([recipe.problem(("graders", grader_name, "model"), message)])
    return Budget(price or FREE, limits)
