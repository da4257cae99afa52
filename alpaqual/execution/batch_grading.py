"""Grades through a provider's batch API: the ledger is filled in rounds, then every row is graded from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alpaqual.errors import BudgetReached, Fault
from alpaqual.execution.grading import Grading, stream
from alpaqual.graders.model import REPAIRS
from alpaqual.inference.batch import Batches, Waits
from alpaqual.inference.budget import Budget
from alpaqual.inference.price import BATCH_DISCOUNT
from alpaqual.recipe.graders import Grader
from alpaqual.store.locking import only_one
from alpaqual.values import Request, Row


async def fetch_replies(grading: Grading, grader: Grader, folder: Path, conditions: str) -> None:
    """Bring the replies about the rows that meet a condition (SQL) into the ledger; what got none is in `client.faults`.

    The first round asks about every row, each later one about those whose reply held no score.
    Raises StageError where asking has to end, KeyboardInterrupt: batches that are under way stay so, and are found again.
    """
    client = grading.client
    waits = Waits(poll=grader.poll_seconds, patience=max(Waits().patience, grader.patience_seconds))
    budget = Budget(client.budget.price.discounted(BATCH_DISCOUNT), client.budget.limits)
    batches = Batches(client.model, client.ledger, budget, folder, waits)  # type: ignore[arg-type]
    client.faults = {}
    try:
        with only_one(folder):
            for _ in range(REPAIRS + 1):
                client.faults |= await batches.answer(_lacking(grading, conditions))
    except (Fault, BudgetReached) as why:
        raise grading.explained(why) from None
    finally:
        client.ledger.flush()
        # What came in batches is found in the ledger afterwards, and counts as made all the same.
        client.fresh |= batches.kept
        client.tally.made += batches.tally.made
        client.tally.cost += batches.tally.cost
        client.tally.input_tokens += batches.tally.input_tokens
        client.tally.output_tokens += batches.tally.output_tokens


def _lacking(grading: Grading, conditions: str) -> Iterator[Request]:
    """The next request of every row that has neither a score nor a fault yet."""
    for _, row in stream(grading.database, f"{grading.only} AND {conditions}"):
        request = next_request(grading, row)
        if request is not None:
            yield request


def next_request(grading: Grading, row: Row) -> Request | None:
    """What is still to be asked about a row, given what the ledger has."""
    *_, (key, request, reply) = grading.asked(grading.plugin.request(row))
    return None if reply is not None or key in (grading.client.faults or {}) else request
