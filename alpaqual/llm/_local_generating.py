"""What a local model writes behind a prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._local_forward import Forward
from alpaqual.llm._local_jobs import Answer, Job, fit
from alpaqual.llm._local_prompts import Prompts
from alpaqual.values import Request

MAX_TOKENS = 16
"""Longest reply where a request names none: a score and what is around it."""


class Generation:
    """The likeliest token each time (temperature 0 or none named), else one drawn by a seed of the request's own.

    Neither the model's own generation settings nor the other rows of a batch have a say.
    """

    def __init__(self, forward: Forward, prompts: Prompts, ends: Sequence[int], context: int | None) -> None:
        self.forward = forward
        self.prompts = prompts
        self.ends = frozenset(ends)
        self.context = context

    def job(self, request: Request) -> Job:
        """Raises Fault where prompt and longest reply together are longer than the context."""
        if "schema" in request.parameters:
            raise Fault(FaultKind.REFUSED, "a local model cannot be held to a schema")
        prompt = self.prompts.ids(self.prompts.text(request.messages))
        fit(len(prompt) + max_tokens(request), self.context)
        if not prompt:
            raise Fault(FaultKind.REQUEST, "empty prompt")
        return Job(request, "generation", prompt)

    def answers(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """Rows that have ended are carried on until all have, and what is added to them is not read."""
        import torch

        pickers = [Picker(job.request) for job in jobs]
        written: list[list[int]] = [[] for _ in jobs]
        logits, past = self.forward.read([job.prompt for job in jobs], 1, cached=True)
        while True:
            # Of all rows at once: a GPU would else be waited for once a row.
            likeliest = logits[:, -1].argmax(-1).tolist()
            new = [
                self.forward.pad if self.ended(job, ids) else picker.pick(row[-1], best)
                for job, ids, picker, row, best in zip(jobs, written, pickers, logits, likeliest, strict=True)
            ]
            for job, ids, token in zip(jobs, written, new, strict=True):
                if not self.ended(job, ids):
                    ids.append(token)
            if all(self.ended(job, ids) for job, ids in zip(jobs, written, strict=True)):
                return [self.answer(job, ids) for job, ids in zip(jobs, written, strict=True)]
            logits = self.forward.go_on(past, torch.tensor([[token] for token in new], device=self.forward.device))

    def ended(self, job: Job, written: Sequence[int]) -> bool:
        """Whether a reply is complete."""
        return len(written) >= max_tokens(job.request) or (bool(written) and written[-1] in self.ends)

    def answer(self, job: Job, written: list[int]) -> Answer:
        """The end of the turn is counted as written, and is no part of the text."""
        ids = written[:-1] if written and written[-1] in self.ends else written
        return Answer(self.prompts.tokenizer.decode(ids, skip_special_tokens=True), len(job.prompt), len(written))


class Picker:
    """Chooses the next token of one reply."""

    def __init__(self, request: Request) -> None:
        import torch

        self.temperature = float(request.parameters.get("temperature") or 0)
        self.generator = torch.Generator().manual_seed(seed_of(request)) if self.temperature else None

    def pick(self, logits: Any, likeliest: int) -> int:
        """A token's id, by its logits (vocabulary)."""
        import torch

        if self.generator is None:
            return likeliest
        shares = (logits.double().cpu() / self.temperature).softmax(-1)
        return int(torch.multinomial(shares, 1, generator=self.generator))


def max_tokens(request: Request) -> int:
    """Tokens of the longest reply."""
    return max(1, int(request.parameters.get("max_tokens") or MAX_TOKENS))


def seed_of(request: Request) -> int:
    """63 bits of a sha256 over all that was asked: the same question draws the same, a repeated one something else."""
    content = [request.model, [list(message) for message in request.messages], dict(request.parameters), request.repeat]
    text = json.dumps(content, sort_keys=True).encode("utf-8", "replace")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
