"""How likely a local model finds each score, and the score it expects: the mean over all of them.

A score's probability is that of a reply whose first line is exactly this score: its tokens, and then a token that begins with a
line break or ends the turn. Without the end, "4" would count all that begins with it, "4.5" too, and the longer text could
never win; with it, the texts exclude each other and every one of them pays for its end. Any token that begins with a line break
counts ("\\n", "\\n\\n", "\\n  "), since tokenizers differ in what they merge behind a line break. Where a tokenizer merges a score's
last character with the line break, that way of writing it is added. The probabilities are then divided by their sum: what the
model would otherwise say is left aside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._local_forward import Forward, Past, held, repeated
from alpaqual.llm._local_jobs import Answer, Job, fit
from alpaqual.llm._local_prompts import Prompts
from alpaqual.values import Request

_TAIL = 48
"""Characters before the reply that a tokenizer may merge with it: nearly always those of the chat template, so one set for all rows."""
_COPIES_BYTES = {"cpu": 64 << 20, "cuda": 2 << 30}
"""Copies of a batch's keys and values may take so much memory at once (one copy is always made). A GPU is faster with many; a
CPU spends more time on asking for the memory than it saves."""


@dataclass(frozen=True)
class Spelling:
    """One way to write a choice (by its number) in tokens; `ended` where the line break is among them."""

    choice: int
    tokens: tuple[int, ...]
    ended: bool


class Choices:
    """Reads each prompt once, then a few tokens a score behind it."""

    def __init__(self, forward: Forward, prompts: Prompts, ends: Sequence[int], context: int | None) -> None:
        self.forward = forward
        self.prompts = prompts
        self.ends = sorted({*ends, *prompts.breaks()})
        self.context = context
        self.known: dict[tuple[str, tuple[str, ...]], tuple[Spelling, ...]] = {}

    def job(self, request: Request) -> Job:
        """Raises Fault where prompt and longest choice together are longer than the context."""
        choices = tuple(request.parameters["choices"])
        if not choices or not all(_is_number(choice) for choice in choices) or len(set(choices)) < len(choices):
            raise Fault(FaultKind.REFUSED, "choices are different numbers", ", ".join(map(str, choices))[:300])
        text = self.prompts.text(request.messages)
        prompt = self.prompts.ids(text)
        spellings = self.spellings(text[-_TAIL:], choices)
        fit(len(prompt) + max(len(spelling.tokens) for spelling in spellings), self.context)
        if not prompt:
            raise Fault(FaultKind.REQUEST, "empty prompt")
        return Job(request, ("choices", choices, spellings), prompt)

    def spellings(self, tail: str, choices: tuple[str, ...]) -> tuple[Spelling, ...]:
        """How the choices are written behind a text that ends with `tail`."""
        if (tail, choices) not in self.known:
            if len(self.known) > 1_000:
                self.known.clear()
            found = [spelling for number, choice in enumerate(choices) for spelling in self.ways(tail, number, choice)]
            self.known[tail, choices] = tuple(found)
        return self.known[tail, choices]

    def ways(self, tail: str, number: int, choice: str) -> list[Spelling]:
        """A choice's own tokens, and those in which its end is merged with the line break."""
        encode = self.prompts.encode
        before = encode(tail)

        def behind(text: str) -> tuple[int, ...] | None:
            tokens = encode(tail + text)
            return tuple(tokens[len(before) :]) if tokens[: len(before)] == before else None

        # What was read stays as it is: a choice that would merge with it is written by itself.
        tokens = behind(choice) or tuple(encode(choice))
        lined = behind(f"{choice}\n")
        merged = lined is not None and lined[: len(tokens)] != tokens
        return [Spelling(number, tokens, False)] + ([Spelling(number, lined, True)] if merged and lined else [])

    def answers(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """The expectation and the probabilities, as JSON."""
        group: Any = jobs[0].group
        _, choices, spellings = group
        found = self.log_likelihoods([job.prompt for job in jobs], spellings, len(choices))
        return [self.answer(job, choices, row) for job, row in zip(jobs, found, strict=True)]

    def answer(self, job: Job, choices: Sequence[str], row: Any) -> Answer | Fault:
        """`row` has the log-likelihoods (choices) in nats."""
        shares = row.softmax(-1).tolist()
        if any(share != share for share in shares):
            return Fault(FaultKind.REQUEST, "no finite probability")
        score = sum(share * float(choice) for share, choice in zip(shares, choices, strict=True))
        told = {choice: round(share, 6) for choice, share in zip(choices, shares, strict=True)}
        return Answer(json.dumps({"score": round(score, 6), "probabilities": told}), len(job.prompt))

    def log_likelihoods(self, rows: Sequence[Sequence[int]], spellings: Sequence[Spelling], choices: int) -> Any:
        """(rows, choices) in fp64, in nats: of each choice and its end behind each prompt."""
        import torch

        logits, past = self.forward.read(rows, 1, cached=True)
        first = logits[:, -1].float().log_softmax(-1)
        found = torch.full((len(rows), len(spellings)), -torch.inf, dtype=torch.float64, device=self.forward.device)
        ends = torch.tensor(self.ends, device=self.forward.device)
        paths = longest_paths(spellings)
        at_once = max(1, min(len(paths), _COPIES_BYTES[self.forward.device] // max(1, held(past))))
        for start in range(0, len(paths), at_once):
            some = paths[start : start + at_once]
            after = self.read_paths(past, some, len(rows))
            ended = after[..., ends].logsumexp(-1)
            for number, spelling in enumerate(spellings):
                lane = next((lane for lane, path in enumerate(some) if covers(path, spelling)), None)
                if lane is not None:
                    found[:, number] = self.total(spelling, first, after[:, lane], ended[:, lane]).double()
        # Now, and not spelling by spelling: a GPU would be waited for each time.
        found = found.cpu()
        groups = [
            found[:, [at for at, spelling in enumerate(spellings) if spelling.choice == choice]]
            for choice in range(choices)
        ]
        return torch.stack([group.logsumexp(-1) for group in groups], dim=-1)

    def read_paths(self, past: Past, paths: Sequence[tuple[int, ...]], rows: int) -> Any:
        """Log-probabilities (rows, paths, tokens, vocabulary) of what comes after each token of each path."""
        import torch

        longest = max(len(path) for path in paths)
        # Behind a path's own tokens nothing is read, so that any token will do there.
        padded = [[*path, *[self.forward.pad] * (longest - len(path))] for path in paths]
        ids = torch.tensor(padded, device=self.forward.device).repeat(rows, 1)
        logits = self.forward.go_on(repeated(past, len(paths)), ids)
        return logits.float().log_softmax(-1).unflatten(0, (rows, len(paths)))

    def total(self, spelling: Spelling, first: Any, after: Any, ended: Any) -> Any:
        """(rows): the log-probability of a spelling and its end.

        `first` (rows, vocabulary) is before its first token, `after` (rows, tokens, vocabulary) and `ended` (rows, tokens) behind each.
        """
        total = first[:, spelling.tokens[0]]
        for at, token in enumerate(spelling.tokens[1:]):
            total = total + after[:, at, token]
        return total if spelling.ended else total + ended[:, len(spelling.tokens) - 1]


def longest_paths(spellings: Sequence[Spelling]) -> list[tuple[int, ...]]:
    """The token sequences to be read: those that no other one begins with."""
    distinct = sorted({spelling.tokens for spelling in spellings})
    follower = [*distinct[1:], ()]
    return [path for path, after in zip(distinct, follower, strict=True) if after[: len(path)] != path]


def covers(path: tuple[int, ...], spelling: Spelling) -> bool:
    """Whether reading this path tells all about the spelling."""
    return path[: len(spelling.tokens)] == spelling.tokens


def _is_number(text: Any) -> bool:
    try:
        return isinstance(text, str) and abs(float(text)) < float("inf")
    except ValueError:
        return False
