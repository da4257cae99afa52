"""Computes the answers of one local model, in a thread of its own."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import cached_property
from typing import cast

from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.llm._local_choices import Choices
from alpaqual.llm._local_files import Place
from alpaqual.llm._local_forward import Forward
from alpaqual.llm._local_generating import Generation
from alpaqual.llm._local_ifd import Difficulty
from alpaqual.llm._local_jobs import Answer, BatchLimits, Feed, Job, Kind, batch_limits
from alpaqual.llm._local_loading import Loaded, load
from alpaqual.llm._local_prompts import Prompts
from alpaqual.values import Request

_FULL = ("out of memory", "can't allocate memory", "not enough memory")


class Runner:
    """Loads the model on first use: a run whose replies are all in the ledger never loads it."""

    def __init__(self, place: Place, batch: int) -> None:
        self.place = place
        self.batch = batch
        self.tokens: int | None = None
        """Maximum tokens of a batch, after one exceeded the memory."""
        self.places = batch
        """Maximum number of long replies at once; fewer after they exceeded the memory."""

    @cached_property
    def loaded(self) -> Loaded:
        """Raises MachineError."""
        return load(self.place)

    @cached_property
    def prompts(self) -> Prompts:
        """Messages to tokens."""
        return Prompts(self.loaded.tokenizer)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """What this model computes, by kind of request."""
        model, tokenizer, context = self.loaded.model, self.loaded.tokenizer, self.loaded.context
        ends = self.prompts.ends(model)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(ends), 0)
        forward = Forward(model, self.loaded.device, pad)
        choices = Choices(forward, self.prompts, ends, context)
        if not choices.ends:
            raise MachineError(f"{self.place.name}: the tokenizer has neither a line break nor an end of text")
        return {
            "generation": Generation(forward, self.prompts, ends, context),
            "choices": choices,
            "ifd": Difficulty(forward, self.prompts, context),
        }

    @property
    def limits(self) -> BatchLimits:
        """The limits of a batch."""
        return batch_limits(self.batch, int(self.loaded.model.config.get_text_config().vocab_size), self.tokens)

    def prepare(self, requests: Sequence[Request]) -> list[Job | Fault]:
        """Each request as a job, or the fault of one that can never be answered. Raises MachineError where there is no model."""
        found: list[Job | Fault] = []
        for request in requests:
            try:
                found.append(self.kinds[kind_of(request)].job(request))
            except Fault as fault:
                found.append(fault)
        return found

    def run(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """The answers to jobs of one group; a batch that exceeds the memory is halved."""
        import torch

        try:
            with torch.inference_mode():
                return self.kinds[kind_of(jobs[0].request)].answers(jobs)
        except (RuntimeError, MemoryError) as error:
            if not is_full(error):
                raise
        # Outside of the handler: the error holds references to the tensors.
        self.free()
        if len(jobs) == 1:
            return [out_of_memory(jobs[0])]
        self.tokens = len(jobs) * max(job.length for job in jobs) // 2
        half = len(jobs) // 2
        return [*self.run(jobs[:half]), *self.run(jobs[half:])]

    def decode(self, jobs: Sequence[Job], feed: Feed) -> None:
        """Write long replies to `jobs` and to those that the feed has meanwhile, half as many at once where they exceed the memory."""
        import torch

        tracked = _Tracked(feed, list(jobs))
        while tracked.unfinished:
            try:
                with torch.inference_mode():
                    generation = cast(Generation, self.kinds["generation"])
                    generation.decode(tracked.unfinished.copy(), self.places, tracked)
                return
            except (RuntimeError, MemoryError) as error:
                if not is_full(error):
                    raise
            self.free()
            if self.places == 1:
                tracked.give(tracked.unfinished[0], out_of_memory(tracked.unfinished[0]))
            self.places = max(1, min(self.places, len(tracked.unfinished)) // 2)

    def free(self) -> None:
        """Free unused memory."""
        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def unload(self) -> None:
        """Unload the model."""
        if "loaded" in self.__dict__:
            for name in ("loaded", "prompts", "kinds"):
                self.__dict__.pop(name, None)
            self.free()


class _Tracked:
    """A feed that remembers which jobs have no answer yet, oldest first."""

    def __init__(self, feed: Feed, jobs: list[Job]) -> None:
        self.feed = feed
        self.unfinished = jobs

    def take(self, count: int) -> list[Job]:
        """Jobs of the feed."""
        new = self.feed.take(count)
        self.unfinished += new
        return new

    def wants(self, job: Job) -> bool:
        """Whether the answer to a job is still waited for."""
        return self.feed.wants(job)

    def give(self, job: Job, answer: Answer | Fault) -> None:
        """Deliver an answer."""
        self.unfinished = [other for other in self.unfinished if other is not job]
        self.feed.give(job, answer)


def is_full(error: RuntimeError | MemoryError) -> bool:
    """Whether an error says that the memory is full."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in _FULL)


def out_of_memory(job: Job) -> Fault:
    """The fault of a job that exceeds the memory by itself."""
    return Fault(FaultKind.REQUEST, "out of memory", f"{job.length + job.most:,} tokens in one row")


def kind_of(request: Request) -> str:
    """The kind of a request, by its parameters. Raises Fault for an unknown measure."""
    if request.parameters.get("measure") is not None:
        if request.parameters["measure"] != "ifd":
            raise Fault(
                FaultKind.REFUSED, "the only measure of a local model is ifd", str(request.parameters["measure"])
            )
        return "ifd"
    return "choices" if "choices" in request.parameters else "generation"
