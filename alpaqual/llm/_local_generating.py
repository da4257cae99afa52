"""Generates a local model's replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._local_decoding import Decoder, Row
from alpaqual.llm._local_forward import Forward
from alpaqual.llm._local_jobs import Answer, Feed, Job, check_context
from alpaqual.llm._local_prompts import Prompts
from alpaqual.values import Request

MAX_TOKENS = 16
"""Longest reply of a request without `max_tokens`: a score and a few words."""
_LONG = 64
"""Replies that may be longer than this many tokens end at different times: the next ones start as soon as some have ended."""


@dataclass
class Listed:
    """A feed that has no further jobs, and keeps the answers."""

    answers: dict[int, Answer | Fault] = field(default_factory=dict)

    def take(self, count: int) -> list[Job]:
        """Nothing."""
        return []

    def wants(self, job: Job) -> bool:
        """Always."""
        return True

    def give(self, job: Job, answer: Answer | Fault) -> None:
        """Keep an answer."""
        self.answers[id(job)] = answer


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
        """A request as a job.

        Raises Fault where prompt and longest reply together exceed the context; an answer to a question is as long as fits.
        """
        if "schema" in request.parameters:
            raise Fault(FaultKind.REFUSED, "a local model cannot follow a JSON schema")
        prompt, most = self.prompt(request), max_tokens(request)
        if is_answer(request) and self.context is not None:
            check_context(len(prompt) + 1, self.context)
            most = min(most, self.context - len(prompt))
        check_context(len(prompt) + most, self.context)
        if not prompt:
            raise Fault(FaultKind.REQUEST, "empty prompt")
        return Job(request, "long" if is_long(request) else "generation", prompt, most=most)

    def prompt(self, request: Request) -> list[int]:
        """The tokens before the reply, by the request's `prompt`."""
        how = request.parameters.get("prompt")
        if how == "plain":
            return self.prompts.plain_ids("".join(text for _, text in request.messages))
        if how == "trained":
            return self.prompts.trained_ids(request.messages)
        return self.prompts.ids(self.prompts.text(request.messages))

    def answers(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """The replies of a batch."""
        listed = Listed()
        self.decode(jobs, len(jobs), listed)
        return [listed.answers[id(job)] for job in jobs]

    def decode(self, jobs: Sequence[Job], places: int, feed: Feed) -> None:
        """Write the replies to `jobs` and to those that the feed has meanwhile, at most `places` at once."""

        def give(row: Row) -> None:
            feed.give(row.job, self.answer(row.job, row.written))

        Decoder(self.forward, self.ends, places, feed, give).run(jobs)

    def answer(self, job: Job, written: list[int]) -> Answer:
        """The text without the end of the turn, which counts as a written token."""
        stopped = bool(written) and written[-1] in self.ends
        text = self.prompts.tokenizer.decode(written[:-1] if stopped else written, skip_special_tokens=True)
        finish = ("stop" if stopped else "length") if is_answer(job.request) else None
        return Answer(text, len(job.prompt), len(written), finish)


def max_tokens(request: Request) -> int:
    """Tokens of the longest reply."""
    return max(1, int(request.parameters.get("max_tokens") or MAX_TOKENS))


def is_answer(request: Request) -> bool:
    """Whether a request asks for the answer to a question, not for a short reply that is read."""
    return "prompt" in request.parameters


def is_long(request: Request) -> bool:
    """Whether a reply may be so long that others take its place in the batch when it ends."""
    generated = "choices" not in request.parameters and "measure" not in request.parameters
    return generated and max_tokens(request) > _LONG
