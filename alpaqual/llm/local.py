"""Models that run in this process: safetensors or GGUF, on the GPU where there is one, else on the CPU.

Three kinds of requests, by their parameters: a generated reply (`max_tokens`, `temperature`), the expectation over scores
(`choices`), and instruction-following difficulty (`measure: ifd`). The `_local_` modules define them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from alpaqual.errors import Fault
from alpaqual.llm._local_files import is_hub_name, model_digest, place_of
from alpaqual.llm._local_generating import is_long
from alpaqual.llm._local_jobs import Answer, Job, next_batch
from alpaqual.llm._local_loading import require
from alpaqual.llm._local_running import Runner
from alpaqual.llm._local_weights import count_weights
from alpaqual.values import Endpoint, Reply, Request

__all__ = ["Plugin", "count_weights", "is_hub_name", "model_digest"]

Result = TypeVar("Result")
_QUIET_SECONDS = 0.003
"""A batch is formed after this long without a new request: callers send their next requests within that time."""
_MAX_WAITS = 10


@dataclass(eq=False)
class _Pending:
    """A request, the future of its answer, and its job once it is tokenized."""

    request: Request
    answer: asyncio.Future[Answer]
    job: Job | None = field(default=None)
    started: bool = False

    def resolve(self, outcome: Answer | Exception) -> None:
        """Set the future's result or exception, unless it is done."""
        if self.answer.done():
            return
        if isinstance(outcome, Answer):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


class Plugin:
    """Answers in batches of pending requests of similar length.

    The model is loaded for the first request, and used in one thread, so that the event loop is never blocked.
    """

    BATCH_REQUESTS = 0
    PROBABILITIES = True
    STRUCTURED = False
    LOCAL = True
    PLAIN = True
    """Whether it takes prompts without a chat template (`prompt: plain` of a request)."""
    FREE = True
    RECORDED = False

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises MachineError where a package or the model's path is missing."""
        self.endpoint = endpoint
        place = place_of(endpoint)
        require(place)
        self.runner = Runner(place, max(1, endpoint.batch))
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")
        self.pending: list[_Pending] = []
        self.worker: asyncio.Task[None] | None = None

    async def complete(self, request: Request) -> Reply:
        """The reply. Raises Fault where there is none, MachineError where the model cannot be loaded."""
        pending = _Pending(request, asyncio.get_running_loop().create_future())
        self.pending.append(pending)
        if self.worker is None or self.worker.done():
            self.worker = asyncio.create_task(self._work())
        answer = await pending.answer
        name = f"{self.endpoint.provider}/{self.endpoint.model}"
        return Reply(answer.text, name, answer.read, answer.written, finish_reason=answer.finish)

    async def alive(self) -> bool:
        """Always: the model is in this process."""
        return True

    async def close(self) -> None:
        """Wait for the batch in progress, cancel all other requests and unload the model."""
        for pending in self.pending:
            pending.answer.cancel()
        await self._in_thread(lambda _: self.runner.unload(), None)
        self.thread.shutdown(wait=False)

    async def _work(self) -> None:
        """Answer batch after batch until no request is pending. An error fails all pending requests."""
        try:
            while self.pending:
                await self._wait_until_quiet()
                await self._tokenize()
                await self._run_batch()
        except Exception as error:
            for pending in self.pending:
                pending.resolve(error)
            self.pending = []

    async def _wait_until_quiet(self) -> None:
        """Wait while more requests arrive."""
        for _ in range(_MAX_WAITS):
            before = len(self.pending)
            await asyncio.sleep(_QUIET_SECONDS)
            if len(self.pending) == before:
                return

    async def _tokenize(self) -> None:
        """Turn new requests into jobs."""
        self._drop_done()
        new = [pending for pending in self.pending if pending.job is None]
        found = await self._in_thread(self.runner.prepare, [pending.request for pending in new]) if new else []
        for pending, outcome in zip(new, found, strict=True):
            if isinstance(outcome, Fault):
                pending.resolve(outcome)
            else:
                pending.job = outcome
        self._drop_done()

    async def _run_batch(self) -> None:
        """Answer the oldest job and those that fit into a batch with it."""
        ready = [(pending, pending.job) for pending in self.pending if pending.job is not None]
        if not ready:
            return
        chosen = [ready[at] for at in next_batch([job for _, job in ready], self.runner.limits.allow)]
        if is_long(chosen[0][0].request):
            feed = _Pool(self, chosen)
            await self._in_thread(lambda jobs: self.runner.decode(jobs, feed), [job for _, job in chosen])
            self._drop_done()
            return
        answers = await self._in_thread(self.runner.run, [job for _, job in chosen])
        for (pending, _), answer in zip(chosen, answers, strict=True):
            pending.resolve(answer)
        self._drop_done()

    def _drop_done(self) -> None:
        """Drop requests that are answered or cancelled."""
        self.pending = [pending for pending in self.pending if not pending.answer.done()]

    async def _in_thread(self, work: Callable[[Any], Result], argument: Any) -> Result:
        """Call a function in the model's thread."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, argument)


class _Pool:
    """The pending requests for long replies, taken and answered in the model's thread."""

    def __init__(self, plugin: Plugin, chosen: Sequence[tuple[_Pending, Job]]) -> None:
        self.plugin = plugin
        self.loop = asyncio.get_running_loop()
        self.started = {id(job): pending for pending, job in chosen}
        for pending, _ in chosen:
            pending.started = True

    def take(self, count: int) -> list[Job]:
        """The oldest requests that have not been started."""
        found: list[Job] = []
        # A copy: the event loop appends new requests meanwhile.
        for pending in list(self.plugin.pending):
            if len(found) == count:
                break
            if pending.started or pending.answer.done() or not is_long(pending.request):
                continue
            pending.started = True
            job = pending.job or self.plugin.runner.prepare([pending.request])[0]
            if isinstance(job, Fault):
                self.loop.call_soon_threadsafe(pending.resolve, job)
                continue
            self.started[id(job)] = pending
            pending.job = job
            found.append(job)
        return found

    def wants(self, job: Job) -> bool:
        """Whether the request of a job is still waited for."""
        return not self.started[id(job)].answer.done()

    def give(self, job: Job, answer: Answer | Fault) -> None:
        """Resolve the request of a job."""
        self.loop.call_soon_threadsafe(self.started.pop(id(job)).resolve, answer)
