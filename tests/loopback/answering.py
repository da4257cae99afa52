"""A process that answers requests through batches, to be killed: `answering.py PROVIDER ADDRESS FOLDER REQUESTS IN_A_BATCH`.

Prints "ready" before it begins, and at its end a JSON object: faults by key, and how many replies it brought in.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from alpaqual.inference.batch import BatchClient, BatchTiming
from alpaqual.inference.budget import Budget
from alpaqual.inference.price import FREE
from alpaqual.registry import find
from alpaqual.store.ledger import Ledger
from alpaqual.values import Endpoint, Request

TIMING = BatchTiming(poll=0.03, listing_delay=0.2, patience=20)


def requests_of(count: int, provider: str = "openai") -> list[Request]:
    """Different requests."""
    return [Request(f"{provider}/m", (("user", f"row {at:04d}"),), {"max_tokens": 9}) for at in range(count)]


async def answer(provider: str, address: str, folder: Path, count: int, in_a_batch: int) -> None:
    """Answer requests into FOLDER/ledger, with state files in FOLDER/batches."""
    plugin = find("llm", provider)(Endpoint(provider, "m", base_url=address))
    plugin.BATCH_REQUESTS = in_a_batch
    ledger = Ledger(folder / "ledger")
    batches = BatchClient(plugin, ledger, Budget(FREE, []), folder / "batches", TIMING)
    say("ready")
    try:
        faults = await batches.send(requests_of(count, provider))
    finally:
        await plugin.close()
        ledger.close()
    say(json.dumps({"faults": {key: fault.reason for key, fault in faults.items()}, "made": batches.usage.calls_made}))


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    provider, address, folder, count, in_a_batch = sys.argv[1:]
    asyncio.run(answer(provider, address, Path(folder), int(count), int(in_a_batch)))
