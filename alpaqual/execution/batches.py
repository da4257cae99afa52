"""Fills the ledger through a provider's batch API, in rounds; the inference loop then reads it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from alpaqual.contracts import BatchModel
from alpaqual.errors import BudgetReached, Fault
from alpaqual.inference.batch import BatchClient, BatchTiming
from alpaqual.inference.budget import Budget
from alpaqual.inference.loop import InferenceLoop
from alpaqual.inference.price import BATCH_DISCOUNT
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.store.locking import single_process
from alpaqual.values import Request

Item = TypeVar("Item")
Result = TypeVar("Result")


async def fetch_batches(
    loop: InferenceLoop[Item, Result],
    items: Callable[[], Iterable[Item]],
    model: BatchModel,
    settings: ModelSettings,
    folder: Path,
) -> None:
    """Bring the replies about all items into the ledger; `loop.client.batch_faults` has the requests without one.

    The first round asks about every item, each later one about those whose reply needs a follow-up. `folder` is for the
    state files. Raises StageError where sending has to stop. After a KeyboardInterrupt, running batches continue and
    a rerun finds them.
    """
    client = loop.client
    timing = BatchTiming(poll=settings.poll_seconds, patience=max(BatchTiming().patience, settings.patience_seconds))
    budget = Budget(client.budget.price.discounted(BATCH_DISCOUNT), client.budget.limits, batch=True)
    budget.tokens = client.budget.tokens
    batches = BatchClient(model, client.ledger, budget, folder, timing, client.refused)
    client.batch_faults = {}
    try:
        with single_process(folder):
            while requests := _peek(loop.next_request(item) for item in items()):
                client.batch_faults |= await batches.send(requests)
                if batches.refusals.answered:
                    # The pilot's refusals, of single requests.
                    client.settle_all()
    except (Fault, BudgetReached) as cause:
        raise loop.explained(cause) from None
    finally:
        client.ledger.flush()
        # The loop finds these replies in the ledger, where they would count as reused.
        client.new_from_batch |= batches.received
        client.usage.add(batches.usage)
        client.budget.lost_usd += budget.lost_usd


def _peek(requests: Iterator[Request | None]) -> Iterable[Request] | None:
    """The requests that are not None; None where there are none."""
    found = (request for request in requests if request is not None)
    first = next(found, None)
    return None if first is None else itertools.chain((first,), found)
