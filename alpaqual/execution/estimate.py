"""Estimates what grading will cost; estimating is free."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from alpaqual.amounts import dollars, duration
from alpaqual.contracts import Ledger as Replies
from alpaqual.engines import viewing
from alpaqual.execution.calibration import not_among, read_people
from alpaqual.execution.execution import Execution
from alpaqual.execution.graded_items import Reading, stream
from alpaqual.execution.grading import RowTask
from alpaqual.execution.models import budget_of, price_of
from alpaqual.execution.pilot import extra_requests, read_golden
from alpaqual.inference.loop import requests_about
from alpaqual.inference.price import BATCH_DISCOUNT, Price
from alpaqual.plan.checking import CheckStage
from alpaqual.plan.grading import GradeStage, asked_rows
from alpaqual.plan.loading import LoadStage
from alpaqual.plan.plan import Plan
from alpaqual.plan.prompts import grader_plugin, reply_tokens, request_model
from alpaqual.plan.tables import grades
from alpaqual.prompt_slots import SCORE, names_in, slot_key
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.thinking import reasons_by_default
from alpaqual.store.ledger import Ledger
from alpaqual.store.store import Store

_BYTES_A_TOKEN = 4.0
_TOKENS_A_MESSAGE = 4
_REQUEST_SECONDS = 0.5
_TOKENS_A_SECOND = 50.0
"""Assumed time of a request besides its reply, and the rate at which a server writes each reply."""


@dataclass(frozen=True)
class Estimate:
    """Work that a grader has left: `rows` to grade (or turns, as `items` says), `known` of them in the ledger, tokens, US dollars and seconds for the others.

    Dollars are None where no price is known; `price` is the price that they follow from, as `pace` is for seconds. `notes` say what
    a person should know before the run.
    """

    grader: str
    rows: int
    known: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    price: str
    seconds: float
    at_most: bool = False
    more: int = 0
    batch: bool = False
    items: str = "rows"
    pace: str = ""
    repeats: int = 0
    notes: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """Requests to be sent."""
        return self.rows - self.known + self.more

    def __str__(self) -> str:
        if not self.rows:
            return "its grades are in the store: no calls to pay for"
        if not self.calls:
            return f"{self.rows:,} {self.items}, all of them in the ledger: 0 calls to pay for"
        known = f" ({self.known:,} of {self.rows:,} {self.items} are in the ledger)" if self.known else ""
        cost = (
            "no price is listed: write 'price:'" if self.cost is None else f"about {dollars(self.cost)} ({self.price})"
        )
        kinds = ((self.more - self.repeats, "rows that people scored"), (self.repeats, "repeats"))
        more = "".join(f", {number:,} of them for {what}" for number, what in kinds if number)
        return (
            f"{'at most ' if self.at_most else ''}{self.calls:,} calls{known}{more}, about {self.input_tokens:,} tokens in and "
            f"up to {self.output_tokens:,} out, {cost}, {'within a day' if self.batch else f'about {duration(self.seconds)} ({self.pace})'}"
        )


def estimate_graders(plan: Plan, store: Store) -> list[Estimate]:
    """Estimate the calls of each live grader without stored grades; loads and checks the rows first.

    Raises RecipeError, StageError.
    """
    for name, grader in plan.recipe.graders.items():
        if grader.live and not _graded(plan, store, name):
            # Raises where a limit needs a price, as the run does.
            budget_of(grader, plan.recipe, ("graders", name), None)
    execution = Execution(plan, store)
    execution.prepare(until=CheckStage.kind)
    execution.run(until=CheckStage.kind)
    stages = [*plan.of(LoadStage), *plan.of(CheckStage)]
    tables = {table.name: execution.stored(stage).table(table.name) for stage in stages for table in stage.tables}
    shown = {other for name in plan.recipe.prompts for other in needed_scores(plan, name)}
    for graded in plan.of(GradeStage):
        found = store.find(graded.fingerprint) if graded.grader in shown else None
        tables |= {} if found is None else {table.name: found.table(table.name) for table in graded.tables}
    ledger = Ledger(store.replies)
    estimates = []
    for name, grader in plan.recipe.graders.items():
        if not grader.live:
            continue
        if _graded(plan, store, name):
            estimates.append(Estimate(name, 0, 0, 0, 0, 0.0, "", 0.0))
        else:
            estimates.append(_estimate(plan, name, grader, tables, ledger))
    return estimates


def _graded(plan: Plan, store: Store, name: str) -> bool:
    """Whether the grades of a grader are in the store."""
    stage = plan.find(GradeStage, name)
    return stage is not None and store.find(stage.fingerprint) is not None


def _estimate(plan: Plan, name: str, grader: Grader, tables: dict[str, Path], ledger: Replies) -> Estimate:
    plugin = grader_plugin(grader, plan.recipe.prompts.get(name), request_model(str(grader.model), plan.digests))
    reading, known_slots = _reading(plan, name, grader, tables)
    # The first grader of a cascade decides which rows remain, and it has not scored them yet: this is the most.
    only = asked_rows(grader, plan.recipe.dropping, cascade=False)
    budget = budget_of(grader, plan.recipe, ("graders", name), None)
    spent = 0.0
    seen: set[str] = set()
    rows = known = size = learned = counted = said = 0
    task = RowTask(plugin, reading)
    with viewing(tables, plan.recipe.text.engine.kind) as database:
        for item in stream(database, only, reading):
            rows += 1
            asked = list(requests_about(task, ledger, reading.request(plugin, item)))
            (key, request, reply), (_, following, last) = asked[0], asked[-1]
            length = sum(len(text.encode()) for _, text in request.messages)
            if reply is not None and reply.input_tokens:
                learned, counted, said = (
                    learned + length,
                    counted + reply.input_tokens,
                    said + (reply.output_tokens or 0),
                )
            again = key in seen
            seen.update(each for each, _, _ in asked)
            if not again:
                spent += sum(budget.original_cost(each, found) for _, each, found in asked if found is not None)
            if again or last is not None:
                known += 1
                continue
            # The first request about the row, or the next one where its replies have no score.
            size += sum(len(text.encode()) for _, text in following.messages)
            size += int(_TOKENS_A_MESSAGE * _BYTES_A_TOKEN) * len(following.messages)
        golden = grader.health.golden
        known_scores = read_golden(database, plan.recipe, name, golden) if golden else []
        known_scores += not_among(read_people(database, plan.recipe, name), known_scores)
        more = list(extra_requests(database, only, plugin, grader, known_scores, reading))
    others = {ledger.key(request): request for request in more}
    lacking = [request for key, request in others.items() if key not in seen and ledger.get(key) is None]
    size += sum(len(text.encode()) for request in lacking for _, text in request.messages)
    calls = rows - known + len(lacking)
    tokens_in = round(size * (counted / learned if learned else 1 / _BYTES_A_TOKEN))
    tokens_out = round(calls * (said / known if said and known else reply_tokens(grader)))
    price = price_of(grader)
    if price is not None and grader.mode == "batch":
        price = price.discounted(BATCH_DISCOUNT)
    cost = None if price is None else price.of(tokens_in, tokens_out)
    seconds, pace = _time(grader, calls, tokens_in, tokens_out)
    return Estimate(
        name,
        rows,
        known,
        tokens_in,
        tokens_out,
        cost,
        _source(price),
        seconds,
        grader.cascade is not None or not known_slots,
        len(lacking),
        grader.mode == "batch",
        reading.items,
        pace,
        sum(request.repeat >= grader.samples for request in lacking),
        tuple(_notes(name, grader, calls, cost, spent)),
    )


def _notes(name: str, grader: Grader, calls: int, cost: float | None, spent: float) -> Iterator[str]:
    """What a person should know before the run: a budget that will stop it, thinking that is not in the estimate."""
    model, budget = grader.model or "", grader.budget_usd
    if (
        calls
        and grader.scoring != "expectation"
        and not grader.max_tokens
        and reasons_by_default(model, grader.parameters)
    ):
        yield (
            f"{model} reasons by default, which the estimate leaves out and the limit of a reply leaves no space for: "
            "set max_tokens or parameters: {reasoning_effort: …}"
        )
    if budget is not None and cost and spent + cost > budget:
        most = int(calls * max(0.0, budget - spent) / cost)
        before = f", {dollars(spent)} of it spent on replies in the ledger" if spent else ""
        yield f"budget_usd of {name} of {dollars(budget)}{before} will stop the run after about {most:,} of {calls:,} calls"


def _reading(plan: Plan, name: str, grader: Grader, tables: Mapping[str, Path]) -> tuple[Reading, bool]:
    """How the rows are read, and whether everything that the prompt shows is known.

    The scores of a grader that has not run yet are left out of the prompts.
    """
    stage = plan.find(GradeStage, name)
    slots = stage.slots if stage is not None else ()
    lacking = {slot_key(SCORE, other) for other in needed_scores(plan, name) if grades(other).name not in tables}
    shown = tuple((key, "NULL" if key in lacking else sql) for key, sql in slots)
    return Reading(grader.each is not None, grader.samples, shown), not lacking


def needed_scores(plan: Plan, name: str) -> list[str]:
    """The graders whose scores a grader's prompt shows."""
    return names_in(plan.recipe.prompts.get(name, ""), SCORE)


def _source(price: Price | None) -> str:
    if price is None:
        return "no price is known"
    return f"${price.input:g} and ${price.output:g} a million, from {price.source}" if price.source else ""


def _time(grader: Grader, calls: int, tokens_in: int, tokens_out: int) -> tuple[float, str]:
    """Seconds, and what decides them: the requests in flight and the length of replies, or a rate that the recipe sets."""
    each = _REQUEST_SECONDS + (tokens_out / calls / _TOKENS_A_SECOND if calls else 0.0)
    flying = f"{grader.concurrency:,} at a time, {_TOKENS_A_SECOND:g} tokens a second each"
    paces = [(math.ceil(calls / grader.concurrency) * each, flying)]
    if grader.requests_per_minute:
        paces.append((calls / grader.requests_per_minute * 60, "requests_per_minute"))
    if grader.tokens_per_minute:
        paces.append((tokens_in / grader.tokens_per_minute * 60, "tokens_per_minute"))
    return max(paces)
