"""Models that run in this process: safetensors or GGUF, on the GPU where there is one, else on the CPU.

Three kinds of request, told apart by their parameters: a reply that is written (`max_tokens`, `temperature`), the expectation over
scores (`choices`), and instruction-following difficulty (`measure: ifd`). What they are is in the `_local_` modules beside this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from alpaqual.errors import Fault
from alpaqual.llm._local_files import is_hub_name, model_digest, place_of
from alpaqual.llm._local_jobs import Answer, Job, mates
from alpaqual.llm._local_loading import require
from alpaqual.llm._local_running import Runner
from alpaqual.llm._local_weights import count_weights
from alpaqual.values import Endpoint, Reply, Request

__all__ = ["Plugin", "count_weights", "is_hub_name", "model_digest"]

Done = TypeVar("Done")
_QUIET = 0.003
"""Seconds without a new request after which no more are waited for: those who just got an answer ask again within that."""
_MOST_WAITS = 10


@dataclass(eq=False)
class _Waiting:
    """A request, who waits for its reply, and its tokens once they are known."""

    request: Request
    answer: asyncio.Future[Answer]
    job: Job | None = field(default=None)

    def settle(self, outcome: Answer | Exception) -> None:
        """Tell who waits, if anybody still does."""
        if self.answer.done():
            return
        if isinstance(outcome, Answer):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


class Plugin:
    """Answers in batches: requests that wait at the same time and are about as long go through the model together.

    The model is loaded when it is first asked, and lives in one thread; the event loop is never held up.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises MachineError where a package is missing, or the path of the model."""
        self.endpoint = endpoint
        place = place_of(endpoint)
        require(place)
        self.runner = Runner(place, max(1, endpoint.batch))
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")
        self.waiting: list[_Waiting] = []
        self.pump: asyncio.Task[None] | None = None

    async def complete(self, request: Request) -> Reply:
        """The reply. Raises Fault where there is none, MachineError where the model cannot be loaded."""
        waits = _Waiting(request, asyncio.get_running_loop().create_future())
        self.waiting.append(waits)
        if self.pump is None or self.pump.done():
            self.pump = asyncio.create_task(self.work())
        answer = await waits.answer
        return Reply(answer.text, f"{self.endpoint.provider}/{self.endpoint.model}", answer.read, answer.written)

    async def work(self) -> None:
        """Answer what waits, batch by batch, until nothing does. What breaks one batch breaks all that wait."""
        try:
            while self.waiting:
                await self.gather()
                await self.prepare()
                await self.batch()
        except Exception as error:
            for waits in self.waiting:
                waits.settle(error)
            self.waiting = []

    def forget(self) -> None:
        """Leave out those who have been told, or do not want to know any more."""
        self.waiting = [waits for waits in self.waiting if not waits.answer.done()]

    async def gather(self) -> None:
        """Wait while more requests come in."""
        for _ in range(_MOST_WAITS):
            before = len(self.waiting)
            await asyncio.sleep(_QUIET)
            if len(self.waiting) == before:
                return

    async def prepare(self) -> None:
        """Turn what is new into tokens."""
        self.forget()
        new = [waits for waits in self.waiting if waits.job is None]
        found = await self.aside(self.runner.prepare, [waits.request for waits in new]) if new else []
        for waits, outcome in zip(new, found, strict=True):
            if isinstance(outcome, Fault):
                waits.settle(outcome)
            else:
                waits.job = outcome
        self.forget()

    async def batch(self) -> None:
        """Run those that go together with the one that has waited longest."""
        ready = [(waits, waits.job) for waits in self.waiting if waits.job is not None]
        if not ready:
            return
        chosen = [ready[at] for at in mates([job for _, job in ready], self.runner.room.takes)]
        answers = await self.aside(self.runner.run, [job for _, job in chosen])
        for (waits, _), answer in zip(chosen, answers, strict=True):
            waits.settle(answer)
        self.forget()

    async def aside(self, work: Callable[[Any], Done], given: Any) -> Done:
        """Do something in the model's thread."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, given)

    async def alive(self) -> bool:
        """It is in this process: always there."""
        return True

    async def close(self) -> None:
        """Wait for the batch that is running, and let go of the model; whoever still waits is cancelled."""
        for waits in self.waiting:
            waits.answer.cancel()
        await asyncio.get_running_loop().run_in_executor(self.thread, self.runner.drop)
        self.thread.shutdown(wait=False)
