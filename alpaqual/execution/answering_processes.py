"""Several processes of one machine answer one list of questions, each with the model; the ledger has what they wrote.

Each is `python -m alpaqual.execution.answering_processes`, with its part of the work on standard input. They share the list by
the ledger's claims: a request that another process has claimed is passed over. What none of them answers is left to the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from alpaqual.errors import EXIT_MACHINE, Fault, MachineError
from alpaqual.inference.client import InferenceClient, clean
from alpaqual.registry import find
from alpaqual.store.ledger import Ledger
from alpaqual.values import Endpoint, Request

_THREADS = "OMP_NUM_THREADS"
_DEVICES = "CUDA_VISIBLE_DEVICES"
_WAITING_SHARE = 4
"""One request in this many of a batch waits in each process, so that a free place is taken at once."""


async def ask_in_processes(
    client: InferenceClient,
    ledger: Ledger,
    requests: Sequence[Request],
    claims: Path,
    processes: int,
    answered: Callable[[int], None] | None = None,
) -> int:
    """Let processes answer the requests that the ledger lacks. Returns the number of replies that they wrote.

    The replies count as calls of `client`, whose model runs here and is not loaded by this. `claims` is the lock file of its
    ledger; `answered` is called with the replies so far. Raises MachineError where the model cannot be loaded.
    """
    endpoint = getattr(client.model, "endpoint", None)
    ledger.refresh()
    missing = {key: request for request in requests if ledger.get(key := ledger.key(request)) is None}
    count = min(processes, len(missing))
    if client.offline or endpoint is None or count < 2:
        return 0
    work = {
        "endpoint": asdict(endpoint),
        "ledger": str(ledger.path),
        "claims": str(claims),
        "requests": [asdict(request) for request in missing.values()],
    }
    written: list[str] = []
    errors: list[str] = []

    async def follow(number: int) -> None:
        async with _process({**work, "number": number, "processes": count}) as lines:
            async for line in lines:
                written.extend(line.get("keys", ()))
                errors.extend(line.get("errors", ()))
                if answered is not None:
                    answered(len(written))

    await asyncio.gather(*map(follow, range(count)))
    if errors:
        raise MachineError(errors[0])
    ledger.refresh()
    for key in written:
        if (reply := ledger.get(key)) is not None:
            client.usage.add_call(reply)
            client.new_from_batch.add(key)
    return len(written)


@contextlib.asynccontextmanager
async def _process(work: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Start a process; yields what it reports. It is ended when the block is left."""
    threads = max(1, (os.cpu_count() or 1) // work["processes"])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={_THREADS: str(threads), **os.environ},
        # Control-C in a terminal ends this process, which then ends that one.
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(f"{json.dumps(work)}\n".encode())
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        yield _reports(process.stdout)
        await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        process.stdin.close()


async def _reports(lines: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects that a process prints."""
    async for line in lines:
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found


def main() -> int:
    """Answer the requests on standard input, as one of several processes. Returns an exit code."""
    work = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _choose_device(work["number"])
    try:
        asyncio.run(_answer(work))
    except MachineError as error:
        _report({"errors": [str(error)]})
        return EXIT_MACHINE
    return 0


def _report(line: Mapping[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """End this process when standard input is closed: its parent was killed."""
    sys.stdin.read()
    os._exit(1)


def _choose_device(number: int) -> None:
    """Show this process one GPU, in turn, before any is used."""
    given = os.environ.get(_DEVICES)
    if given:
        devices = [device.strip() for device in given.split(",") if device.strip()]
    else:
        import torch

        devices = [str(device) for device in range(torch.cuda.device_count())]
    if len(devices) > 1:
        os.environ[_DEVICES] = devices[number % len(devices)]


async def _answer(work: Mapping[str, Any]) -> None:
    endpoint = Endpoint(**{**work["endpoint"], "headers": ()})
    requests = [_request(each) for each in work["requests"]]
    # Each process starts at another place, so that they meet late.
    start = len(requests) * work["number"] // work["processes"]
    order = iter([*requests[start:], *requests[:start]])
    ledger = Ledger(Path(work["ledger"]), Path(work["claims"]))
    model = find("llm", endpoint.provider)(endpoint)
    try:
        at_once = endpoint.batch + endpoint.batch // _WAITING_SHARE + 1
        await asyncio.gather(*(_take(order, ledger, model) for _ in range(at_once)))
    finally:
        await model.close()
        ledger.flush()
        ledger.close()


async def _take(order: Iterator[Request], ledger: Ledger, model: Any) -> None:
    """Answer one request after the other; one that another process has is passed over, and one without a reply is left."""
    for request in order:
        key = ledger.key(request)
        if ledger.get(key) is not None or not ledger.claim(key):
            continue
        try:
            if ledger.get(key) is None:
                reply = clean(await model.complete(request))
                ledger.add(key, replace(reply, cost_usd=0.0), request.model)
                _report({"keys": [key]})
        except Fault:
            continue
        finally:
            ledger.release(key)


def _request(given: Mapping[str, Any]) -> Request:
    messages = tuple((role, text) for role, text in given["messages"])
    return Request(given["model"], messages, given["parameters"], given["repeat"])


if __name__ == "__main__":
    sys.exit(main())
