"""The inference loop with items that are not rows: pairs of answers, compared in both orders."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, cast

import pytest
from loopback import Server, score_of

from alpaqual.contracts import BatchModel
from alpaqual.errors import StageError
from alpaqual.execution.batches import fetch_batches
from alpaqual.execution.models import open_client
from alpaqual.execution.options import RunOptions
from alpaqual.inference.client import Usage
from alpaqual.inference.limit import Limit
from alpaqual.inference.loop import InferenceLoop, Outcome
from alpaqual.recipe.model_settings import ModelSettings, Price
from alpaqual.recipe.parse import parse_recipe
from alpaqual.recipe.recipe import Recipe
from alpaqual.store.ledger import Ledger
from alpaqual.values import Reply, Request

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_pauses")]

Order = Literal["ab", "ba"]


class Comparison(NamedTuple):
    """One order of a pair of answers: the item of the loop."""

    pair: str
    order: Order


class Preference(NamedTuple):
    """What one reply says; None where it holds no number."""

    score: float | None


class Compare:
    """The task: one request per order, and one more where the reply holds no number."""

    def id(self, item: Comparison) -> str:
        return f"{item.pair} {item.order}"

    def request(self, item: Comparison) -> Request:
        return Request("openai/judge", (("user", prompt_of(item)),), {"max_tokens": 9})

    def read(self, reply: Reply) -> Preference:
        first = reply.text.partition("\n")[0]
        return Preference(float(first) if first.replace(".", "").isdigit() else None)

    def follow_up(self, request: Request, result: Preference, attempt: int) -> Request | None:
        if result.score is not None or attempt > 1:
            return None
        (_, text), *_ = request.messages
        return Request(request.model, (("user", text.replace("question", "number only")),), request.parameters)


class Verdicts:
    """The sink: the outcomes of both orders of each pair."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Comparison, Outcome[Preference]]] = []
        self.written: dict[str, dict[Order, Outcome[Preference]]] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, item: Comparison, outcome: Outcome[Preference]) -> None:
        self.waiting.append((item, outcome))

    def write(self) -> None:
        for item, outcome in self.waiting:
            self.written.setdefault(item.pair, {})[item.order] = outcome
        self.waiting = []


def prompt_of(item: Comparison) -> str:
    first, second = item.order
    return f"question {item.pair}: answer {first}, answer {second}"


def comparisons(count: int) -> Iterator[Comparison]:
    for number in range(count):
        yield Comparison(f"<{number}>", "ab")
        yield Comparison(f"<{number}>", "ba")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with Server(record=True) as running:
        yield running


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    text = "version: 1\nname: pairs\nsources: [{path: d.jsonl}]\ndatasets: {full: {}}\n"
    return parse_recipe(text, str(tmp_path / "recipe.yaml"))


def judge(
    server: Server,
    recipe: Recipe,
    count: int,
    *,
    mode: Literal["online", "batch"] = "online",
    budget: float | None = None,
) -> tuple[Verdicts, Usage]:
    """Compare pairs with a model that only its settings describe, as a process of its own would."""
    settings = ModelSettings(
        model="openai/judge",
        base_url=server.openai,
        concurrency=8,
        mode=mode,
        poll_seconds=0.05,
        price=Price(input=1000, output=1000),
        budget_usd=budget,
    )
    ledger, sink = Ledger(recipe.folder / "replies"), Verdicts()

    async def work() -> Usage:
        client = open_client(settings, recipe, ("evaluation", "judge"), RunOptions(), ledger)
        loop: InferenceLoop[Comparison, Preference] = InferenceLoop(
            "judge", Compare(), client, 2 * count, items="pairs"
        )
        try:
            if settings.mode == "batch":
                model = cast(BatchModel, client.model)
                await fetch_batches(loop, lambda: comparisons(count), model, settings, recipe.folder / "batches")
            await loop.process(comparisons(count), sink)
        finally:
            await client.model.close()
        return client.usage

    try:
        return sink, asyncio.run(work())
    finally:
        ledger.close()


@pytest.mark.parametrize("mode", ["online", "batch"])
def test_pairs_in_both_orders_go_through_the_loop(
    server: Server, recipe: Recipe, mode: Literal["online", "batch"]
) -> None:
    sink, usage = judge(server, recipe, 40, mode=mode)

    assert len(sink.written) == 40
    assert usage.calls_made == 80
    for pair, orders in sink.written.items():
        assert set(orders) == {"ab", "ba"}
        for order, outcome in orders.items():
            assert outcome == Outcome(Preference(score_of(prompt_of(Comparison(pair, order)))))
    assert set(server.asked().values()) == {1}

    again, usage = judge(server, recipe, 40)
    assert again.written == sink.written
    assert (usage.calls_made, usage.calls_reused) == (0, 80)
    assert usage.original_cost_usd > 0


@pytest.mark.parametrize("mode", ["online", "batch"])
def test_an_unusable_reply_gets_a_follow_up_and_a_missing_one_the_next_run(
    server: Server, recipe: Recipe, mode: Literal["online", "batch"]
) -> None:
    server.settings(
        rows={"question <3>: answer b": "prose", "<4>: answer a": "content_filter", "<5>: answer a": "error"}
    )
    sink, _ = judge(server, recipe, 10, mode=mode)

    first_reply = sink.written["<3>"]["ba"]
    assert first_reply.result is not None and first_reply.result.score is not None
    refused, failed = sink.written["<4>"]["ab"], sink.written["<5>"]["ab"]
    assert (refused.result, refused.retry) == (None, False)
    assert (failed.result, failed.retry) == (None, True)

    server.settings(rows={})
    server.reset()
    again, usage = judge(server, recipe, 10)
    # What was refused for good is not asked again.
    assert usage.calls_made == 1
    faults = [outcome.fault for orders in again.written.values() for outcome in orders.values()]
    assert [fault.reason for fault in faults if fault is not None] == ["refused by the server (400)"]


def test_a_budget_stops_the_loop_with_the_words_of_its_items(server: Server, recipe: Recipe) -> None:
    server.settings(input_tokens=100, output_tokens=9)
    with pytest.raises(StageError, match=r"judge: budget_usd of judge of \$1\.00 reached.*of 80 pairs are completed"):
        judge(server, recipe, 40, budget=1.0)


def test_a_limit_of_the_run_is_shared(recipe: Recipe) -> None:
    limit = Limit("--max-cost", 1.0)
    settings = ModelSettings(model="openai/judge", base_url="http://127.0.0.1:9/v1", price=Price(input=1, output=1))
    ledger = Ledger(recipe.folder / "replies")

    async def work() -> None:
        clients = [open_client(settings, recipe, ("judge",), RunOptions(max_cost=limit), ledger) for _ in range(2)]
        assert [client.budget.limits for client in clients] == [[limit], [limit]]
        for client in clients:
            await client.model.close()

    asyncio.run(work())
