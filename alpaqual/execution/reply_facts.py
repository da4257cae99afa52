"""Calls, tokens and cost of the requests of a stage: for the seal of its result, and while they are sent."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from alpaqual.execution.options import Progress
from alpaqual.inference.loop import InferenceLoop


def reply_facts(loop: InferenceLoop[Any, Any]) -> dict[str, Any]:
    """Calls, tokens, US dollars and seconds so far; `again` counts the items that got no reply and are asked again."""
    client, missing = loop.client, loop.without_reply
    usage = client.usage
    return {
        "calls_made": usage.calls_made,
        "calls_reused": usage.calls_reused,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": round(usage.cost_usd, 8),
        "bought_usd": round(usage.original_cost_usd, 8),
        "lost_usd": round(client.budget.lost_usd, 8),
        "cache_read_tokens": usage.cache.read,
        "cache_write_tokens": usage.cache.written,
        "cache_saved_usd": round(client.budget.price.saved(usage.cache), 8),
        "priced": client.budget.price.known,
        "faults": usage.faults,
        "seconds": round(time.monotonic() - loop.started, 3),
        "models": list(client.models),
        "unsent": list(client.unsent),
        "again": len(missing),
        "again_digest": hashlib.sha256("".join(sorted(missing)).encode()).hexdigest(),
    }


def progress_of(loop: InferenceLoop[Any, Any], name: str, unscored: int, work: str = "grading") -> Progress:
    """Items, calls, cost and time so far; `name` is the grader, or the subject of another kind of `work`."""
    usage = loop.client.usage
    return Progress(
        name,
        loop.done,
        loop.total,
        usage.calls_made,
        usage.calls_reused,
        unscored,
        usage.cost_usd,
        time.monotonic() - loop.started,
        loop.items,
        loop.client.budget.price.known,
        work,
    )
