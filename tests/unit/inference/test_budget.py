"""Money: reservations, limits, prices."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaqual.errors import BudgetReached
from alpaqual.inference.budget import Budget
from alpaqual.inference.limit import Limit
from alpaqual.inference.price import FREE, Price, listed_price
from alpaqual.values import Reply, Request

PRICE = Price(1.0, 2.0, "test")


def request(text: str = "x" * 300, tokens: int = 10) -> Request:
    return Request("m", (("user", text),), {"max_tokens": tokens})


@given(st.lists(st.tuples(st.integers(1, 2_000), st.integers(1, 300)), min_size=1, max_size=40), st.floats(0, 0.02))
def test_requests_in_flight_together_never_pass_a_limit(sizes: list[tuple[int, int]], usd: float) -> None:
    """A server that counts no more than a token for three bytes, and writes as much as it may."""

    async def work() -> tuple[float, int]:
        limit = Limit("limit", usd)
        budget, sent = Budget(PRICE, [limit]), 0

        async def one(size: int, tokens: int) -> None:
            nonlocal sent
            asked = request("x" * size, tokens)
            reserved = await budget.reserve(asked)
            sent += 1
            await asyncio.sleep(0)
            budget.settle(reserved, asked, Reply("5", "m", size // 3, tokens))
            assert limit.spent <= usd + 1e-12

        done = await asyncio.gather(*(one(*each) for each in sizes), return_exceptions=True)
        assert all(each is None or isinstance(each, BudgetReached) for each in done)
        assert limit.reserved == pytest.approx(0, abs=1e-12)
        return limit.spent, sent

    spent, _ = asyncio.run(work())
    assert spent <= usd + 1e-12


def test_a_fault_costs_nothing_and_releases_its_reservation() -> None:
    async def work() -> Limit:
        limit = Limit("limit", 1.0)
        budget = Budget(PRICE, [limit])
        reserved = await budget.reserve(request())
        assert limit.reserved == reserved > 0
        budget.cancel(reserved)
        return limit

    limit = asyncio.run(work())
    assert (limit.spent, limit.reserved) == (0, 0)


def test_the_limit_that_is_reached_is_named_and_nothing_is_taken() -> None:
    async def work() -> tuple[Limit, Limit]:
        wide, narrow = Limit("budget_usd of g", 10.0), Limit("--max-cost", 1e-9)
        with pytest.raises(BudgetReached, match=r"--max-cost of <\$0\.0001 reached: \$0\.00 spent"):
            await Budget(PRICE, [wide, narrow]).reserve(request())
        return wide, narrow

    assert all((limit.spent, limit.reserved) == (0, 0) for limit in asyncio.run(work()))


def test_what_servers_count_is_learned() -> None:
    budget = Budget(PRICE, [])
    before = budget.tokens.input_tokens(request())
    budget.settle(0, request(), Reply("5", "m", 250, 1))
    after = budget.tokens.input_tokens(request())
    assert before < 250 <= after


@pytest.mark.parametrize(
    ("provider", "model", "cheap"),
    [("openai", "gpt-4o-mini", 1.0), ("anthropic", "claude-haiku-4-5-20251001", 10.0)],
)
def test_listed_prices_are_for_a_million_tokens(provider: str, model: str, cheap: float) -> None:
    price = listed_price(provider, model)
    assert price is not None
    assert 0.01 < price.input < price.output < cheap
    assert price.source.startswith("genai-prices ")
    assert price.discounted(0.5).of(2e6, 0) == pytest.approx(price.input)


def test_a_model_that_no_list_has_costs_an_unknown_amount() -> None:
    assert listed_price("openai", "no-such-model-anywhere") is None


def test_what_is_free_costs_nothing() -> None:
    assert FREE.of(1e9, 1e9) == 0


def test_without_a_limit_nothing_is_reserved() -> None:
    assert asyncio.run(Budget(PRICE, []).reserve(request())) == 0


class FreedBetween(Limit):
    """Another process frees money after the limit was exceeded and before it is asked whether any may."""

    freed = False

    async def reserve(self, usd: float, *, batch: bool = False) -> bool:
        return self.freed and await super().reserve(usd, batch=batch)

    async def may_free(self) -> bool:
        self.freed = True
        return False


def test_money_that_was_freed_in_between_is_reserved() -> None:
    assert asyncio.run(Budget(PRICE, [FreedBetween("limit", 1.0)]).reserve(request())) > 0
