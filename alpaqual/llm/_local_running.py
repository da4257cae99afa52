"""Computes the answers of one local model, in a thread of its own."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import cached_property

from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.llm._local_choices import Choices
from alpaqual.llm._local_files import Place
from alpaqual.llm._local_forward import Forward
from alpaqual.llm._local_generating import Generation
from alpaqual.llm._local_ifd import Difficulty
from alpaqual.llm._local_jobs import Answer, BatchLimits, Job, Kind, batch_limits
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
            if not isinstance(error, MemoryError) and not any(word in str(error) for word in _FULL):
                raise
        # Outside of the handler: the error holds references to the tensors.
        self.free()
        if len(jobs) == 1:
            return [Fault(FaultKind.REQUEST, "out of memory", f"{jobs[0].length:,} tokens in one row")]
        self.tokens = len(jobs) * max(job.length for job in jobs) // 2
        half = len(jobs) // 2
        return [*self.run(jobs[:half]), *self.run(jobs[half:])]

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


def kind_of(request: Request) -> str:
    """The kind of a request, by its parameters. Raises Fault for an unknown measure."""
    if request.parameters.get("measure") is not None:
        if request.parameters["measure"] != "ifd":
            raise Fault(
                FaultKind.REFUSED, "the only measure of a local model is ifd", str(request.parameters["measure"])
            )
        return "ifd"
    return "choices" if "choices" in request.parameters else "generation"
