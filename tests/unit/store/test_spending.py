"""Money that several processes take from one account; each is an object here, with a lock of its own."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.errors import BudgetReached, Fault, FaultKind
from alpaqual.inference.budget import Budget
from alpaqual.inference.limit import SharedLimit
from alpaqual.inference.price import Price
from alpaqual.store.lost import KILLED, LostFile
from alpaqual.store.spending import SharedSpending
from alpaqual.values import Reply, Request


def join(folder: Path, known: float = 0.0) -> SharedSpending:
    found = SharedSpending(folder / "budgets" / "a", LostFile(folder / "lost", "a", "g"))
    found.raise_to(known)
    return found


def kill(process: SharedSpending) -> None:
    """End it as the operating system does: its files are closed, and nothing is written."""
    for descriptor in (process._descriptor, process._lock, *process._others.values()):
        os.close(descriptor)
    process._descriptor = -1


def reserve(process: SharedSpending, usd: float, limit: float, *, batch: bool = False) -> bool:
    return asyncio.run(process.reserve(usd, limit, batch=batch))


def lost_in(folder: Path) -> list[dict[str, object]]:
    lines = [line for path in (folder / "lost").glob("*.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_processes_share_what_is_left(tmp_path: Path) -> None:
    one, two = join(tmp_path), join(tmp_path)
    assert reserve(one, 3.0, 5.0)
    assert not reserve(two, 3.0, 5.0)
    assert asyncio.run(two.sums()) == (0.0, 3.0)
    one.settle(3.0, 1.0)
    assert asyncio.run(two.sums()) == (1.0, 0.0)
    assert reserve(two, 3.0, 5.0)
    two.settle(3.0, 3.0)
    one.close()
    assert not reserve(two, 1.5, 5.0)
    assert reserve(two, 1.0, 5.0)


def test_one_that_joins_counts_what_it_knows_of(tmp_path: Path) -> None:
    one = join(tmp_path, known=2.0)
    assert reserve(one, 1.0, 10.0)
    one.settle(1.0, 1.0)
    # The ledger that it reads has all of it, or replies of other rows only.
    same, other = join(tmp_path, known=3.0), join(tmp_path, known=7.0)
    assert [asyncio.run(each.sums())[0] for each in (one, same, other)] == [7.0, 7.0, 7.0]
    for each in (one, same, other):
        each.close()
    assert asyncio.run(join(tmp_path, known=0.5).sums()) == (0.5, 0.0)


def test_what_a_killed_process_had_in_flight_stays_counted(tmp_path: Path) -> None:
    one, two = join(tmp_path), join(tmp_path)
    assert reserve(one, 2.0, 5.0) and reserve(one, 2.0, 5.0)
    one.settle(2.0, 0.5)
    kill(one)
    assert not reserve(two, 3.0, 5.0)
    assert asyncio.run(two.sums()) == (2.5, 0.0)
    assert lost_in(tmp_path) == [{"account": "a", "grader": "g", "usd": 2.0, "reason": KILLED}]
    two.close()
    # In later runs too, beside the reply that is in the ledger.
    again = join(tmp_path, known=0.5)
    assert asyncio.run(again.sums()) == (2.5, 0.0)
    assert again.lost_usd == 2.0


def test_a_batch_of_a_killed_process_is_not_lost(tmp_path: Path) -> None:
    one = join(tmp_path)
    assert reserve(one, 4.0, 5.0, batch=True)
    kill(one)
    two = join(tmp_path)
    assert asyncio.run(two.sums()) == (0.0, 0.0)
    assert lost_in(tmp_path) == []


def test_entries_of_others_and_broken_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "lost").mkdir()
    lines = ['{"account": "a", "usd": 1.5}', '{"account": "b", "usd": 9}', "{", '{"account": "a", "usd": "x"}', "7"]
    (tmp_path / "lost" / "1.jsonl").write_text("\n".join(lines))
    assert LostFile(tmp_path / "lost", "a", "g").usd == 1.5


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["send", "reply", "lose", "kill", "leave", "join"]), st.integers(0, 5)), max_size=60
    ),
    limit=st.floats(0.5, 8),
)
def test_processes_that_come_go_and_die_never_pass_the_limit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], limit: float
) -> None:
    """What was sent is at most the limit, by what the provider bills: a reply, a lost one, or one in flight at a death."""
    folder = tmp_path_factory.mktemp("account")
    running: list[tuple[SharedSpending, list[float]]] = []
    ledger = 0.0
    for step, number in steps:
        if step == "join" or not running:
            running.append((join(folder, ledger), []))
            continue
        process, flying = running[number % len(running)]
        if step == "send" and reserve(process, 1.0, limit):
            flying.append(1.0)
        elif step == "reply" and flying:
            # What the reply costs is known now; it is in the ledger first.
            cost = 0.25 + 0.15 * number
            ledger += cost
            process.settle(flying.pop(), cost)
        elif step == "lose" and flying:
            process.lose(flying.pop(), 1.0, "timeout")
        elif step in ("kill", "leave"):
            running.remove((process, flying))
            if step == "kill":
                kill(process)
            else:
                for usd in flying:
                    process.settle(usd, 0.0)
                process.close()
        total = asyncio.run(running[0][0].sums()) if running else (0.0, 0.0)
        assert total[0] <= limit + 1e-9
        assert ledger + sum(float(str(entry["usd"])) for entry in lost_in(folder)) <= limit + 1e-9
    for process, _ in running:
        process.close()


REQUEST = Request("m", (("user", "x" * 300),), {"max_tokens": 10})


def test_the_longest_reply_of_one_process_is_reserved_by_all(tmp_path: Path) -> None:
    """A model that ignores `max_tokens` is learned from once."""
    price = Price(0.0, 1000.0, "test")
    budgets = [Budget(price, [SharedLimit("limit", 100.0, join(tmp_path))]) for _ in range(2)]

    async def work() -> float:
        reserved = await budgets[0].reserve(REQUEST)
        assert reserved == pytest.approx(0.01)
        budgets[0].settle(reserved, REQUEST, Reply("5", "m", 100, 500))
        await budgets[0].reserve(REQUEST)
        await budgets[1].reserve(REQUEST)
        return await budgets[1].reserve(REQUEST)

    assert asyncio.run(work()) == pytest.approx(0.5)


def test_one_waits_while_another_may_free_money(tmp_path: Path) -> None:
    limit = 0.02
    one, two = (Budget(Price(0.0, 1000.0, "test"), [SharedLimit("budget", limit, join(tmp_path))]) for _ in range(2))

    async def work() -> None:
        first, second = await one.reserve(REQUEST), await one.reserve(REQUEST)
        waiting = asyncio.create_task(two.reserve(REQUEST))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        one.settle(first, REQUEST, Reply("5", "m", 100, 1))
        one.settle(second, REQUEST, Reply("5", "m", 100, 1))
        two.settle(await waiting, REQUEST, Reply("5", "m", 100, 10))
        with pytest.raises(
            BudgetReached,
            match=r"budget of \$0\.02 reached: \$0\.0\d+ spent, and the next request may cost \$0\.\d+ at most$",
        ):
            await two.reserve(REQUEST)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("usage", "lost", "usd"),
    [({}, True, 0.01), ({"input_tokens": 5, "output_tokens": 4}, True, 0.004), ({}, False, 0.0)],
)
def test_what_a_fault_costs(tmp_path: Path, usage: dict[str, int], lost: bool, usd: float) -> None:
    budget = Budget(Price(0.0, 1000.0, "test"), [SharedLimit("budget", 1.0, join(tmp_path))])
    fault = Fault(FaultKind.TRANSIENT, "timeout")
    fault.lost, fault.usage = lost, usage

    async def work() -> tuple[float, float]:
        budget.settle_fault(await budget.reserve(REQUEST), REQUEST, fault)
        return await budget.limits[0].spending.sums()  # type: ignore[attr-defined, no-any-return]

    assert asyncio.run(work()) == (pytest.approx(usd), 0.0)
    assert budget.lost_usd == pytest.approx(usd)
    assert [entry["usd"] for entry in lost_in(tmp_path)] == ([pytest.approx(usd)] if usd else [])


def test_replies_that_had_no_price_cost_what_they_cost_now() -> None:
    budget = Budget(Price(1000.0, 1000.0, "the recipe"), [])
    assert budget.original_cost(REQUEST, Reply("5", "m", 100, 10, cost_usd=None)) == pytest.approx(0.11)
    assert budget.original_cost(REQUEST, Reply("5", "m", 100, 10, cost_usd=0.0)) == pytest.approx(0.11)
    assert budget.original_cost(REQUEST, Reply("5", "m", 100, 10, cost_usd=0.02)) == 0.02
