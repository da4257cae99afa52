"""Generates a local model's replies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._local_forward import Forward
from alpaqual.llm._local_jobs import Answer, Job, check_context
from alpaqual.llm._local_prompts import Prompts
from alpaqual.values import Request

MAX_TOKENS = 16
"""Longest reply of a request without `max_tokens`: a score and a few words."""


class Generation:
    """Greedy decoding at temperature 0 or without one; else sampling, seeded by the request's content.

    The model's own generation settings and the other requests of a batch have no effect.
    """

    def __init__(self, forward: Forward, prompts: Prompts, ends: Sequence[int], context: int | None) -> None:
        self.forward = forward
        self.prompts = prompts
        self.ends = frozenset(ends)
        self.context = context

    def job(self, request: Request) -> Job:
        """A request as a job. Raises Fault where prompt and longest reply together exceed the context."""
        if "schema" in request.parameters:
            raise Fault(FaultKind.REFUSED, "a local model cannot follow a JSON schema")
        prompt = self.prompts.ids(self.prompts.text(request.messages))
        check_context(len(prompt) + max_tokens(request), self.context)
        if not prompt:
            raise Fault(FaultKind.REQUEST, "empty prompt")
        return Job(request, "generation", prompt)

    def answers(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """The replies of a batch; a finished one is padded until all are finished."""
        import torch

        samplers = [Sampler(job.request) for job in jobs]
        written: list[list[int]] = [[] for _ in jobs]
        logits, prefix = self.forward.read([job.prompt for job in jobs], 1, cached=True)
        while True:
            # One transfer for the whole batch: each one synchronizes with the GPU.
            likeliest = logits[:, -1].argmax(-1).tolist()
            new = [
                self.forward.pad if self.ended(job, ids) else sampler.next_token(row[-1], best)
                for job, ids, sampler, row, best in zip(jobs, written, samplers, logits, likeliest, strict=True)
            ]
            for job, ids, token in zip(jobs, written, new, strict=True):
                if not self.ended(job, ids):
                    ids.append(token)
            if all(self.ended(job, ids) for job, ids in zip(jobs, written, strict=True)):
                return [self.answer(job, ids) for job, ids in zip(jobs, written, strict=True)]
            logits = self.forward.extend(prefix, torch.tensor([[token] for token in new], device=self.forward.device))

    def ended(self, job: Job, written: Sequence[int]) -> bool:
        """Whether a reply is complete."""
        return len(written) >= max_tokens(job.request) or (bool(written) and written[-1] in self.ends)

    def answer(self, job: Job, written: list[int]) -> Answer:
        """The text without the end of the turn, which counts as a written token."""
        ids = written[:-1] if written and written[-1] in self.ends else written
        return Answer(self.prompts.tokenizer.decode(ids, skip_special_tokens=True), len(job.prompt), len(written))


class Sampler:
    """Chooses the next token of one reply."""

    def __init__(self, request: Request) -> None:
        import torch

        self.temperature = float(request.parameters.get("temperature") or 0)
        self.generator = torch.Generator().manual_seed(seed_of(request)) if self.temperature else None

    def next_token(self, logits: Any, likeliest: int) -> int:
        """The next token's id, given its logits (vocabulary)."""
        import torch

        if self.generator is None:
            return likeliest
        probabilities = (logits.double().cpu() / self.temperature).softmax(-1)
        return int(torch.multinomial(probabilities, 1, generator=self.generator))


def max_tokens(request: Request) -> int:
    """Tokens of the longest reply."""
    return max(1, int(request.parameters.get("max_tokens") or MAX_TOKENS))


def seed_of(request: Request) -> int:
    """63 bits of a sha256 over the request's content: the same request samples the same reply, a repeat another one."""
    content = [request.model, [list(message) for message in request.messages], dict(request.parameters), request.repeat]
    text = json.dumps(content, sort_keys=True).encode("utf-8", "replace")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
