"""Grades through a provider's batch API: the ledger is filled in rounds, then every row is graded from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alpaqual.asking.batch import Batches, Waits
from alpaqual.asking.budget import Budget
from alpaqual.asking.price import BATCH_DISCOUNT
from alpaqual.errors import BudgetReached, Fault
from alpaqual.graders.model import REPAIRS
from alpaqual.recipe.graders import Grader
from alpaqual.run.grading import Grading, stream
from alpaqual.store.locking import only_one
from alpaqual.values import Request, Row


async def fetch_replies(grading: Grading, grader: Grader, folder: Path, conditions: str) -> None:
    """Bring the replies about the rows that meet a condition (SQL) into the ledger; what got none is in `asker.faults`.

    The first round asks about every row, each later one about those whose reply held no score.
    Raises StageError where asking has to end, KeyboardInterrupt: batches that are under way stay so, and are found again.
    """
    asker = grading.asker
    waits = Waits(poll=grader.poll_seconds, patience=max(Waits().patience, grader.patience_seconds))
    budget = Budget(asker.budget.price.discounted(BATCH_DISCOUNT), asker.budget.limits)
    batches = Batches(asker.model, asker.ledger, budget, folder, waits)  # type: ignore[arg-type]
    asker.faults = {}
    try:
        with only_one(folder):
            for _ in range(REPAIRS + 1):
                asker.faults |= await batches.answer(_lacking(grading, conditions))
    except (Fault, BudgetReached) as why:
        raise grading.explained(why) from None
    finally:
        asker.ledger.flush()
        # What came in batches is found in the ledger afterwards, and counts as made all the same.
        asker.fresh |= batches.kept
        asker.tally.made += batches.tally.made
        asker.tally.cost += batches.tally.cost
        asker.tally.input_tokens += batches.tally.input_tokens
        asker.tally.output_tokens += batches.tally.output_tokens


def _lacking(grading: Grading, conditions: str) -> Iterator[Request]:
    """The next request of every row that has neither a score nor a fault yet."""
    for _, row in stream(grading.database, f"{grading.only} AND {conditions}"):
        request = next_request(grading, row)
        if request is not None:
            yield request


def next_request(grading: Grading, row: Row) -> Request | None:
    """What is still to be asked about a row, given what the ledger has."""
    *_, (key, request, reply) = grading.asked(grading.plugin.request(row))
    return None if reply is not None or key in (grading.asker.faults or {}) else request
