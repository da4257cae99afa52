"""A local model's probability of each score, and the expected score.

A score's probability is that of a reply whose first line is exactly this score: its tokens, and then a token that begins with
a line break or ends the turn. Without the end, "4" would include "4.5", and the longer text could never win; with it, the
texts are mutually exclusive. Any token that begins with a line break counts ("\\n", "\\n\\n", "\\n  "), since tokenizers merge
differently behind it. Where a tokenizer merges a score's last character with the line break, that spelling is added. The
probabilities are normalised over the scores of the scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._expectations import expectation
from alpaqual.llm._local_forward import Forward, Prefix, cache_bytes, repeat
from alpaqual.llm._local_jobs import Answer, Job, check_context
from alpaqual.llm._local_prompts import Prompts
from alpaqual.values import Request

_TAIL = 48
"""Characters before the reply that a tokenizer may merge with it; they are nearly always the chat template's, and then cached."""
_COPIES_BYTES = {"cpu": 64 << 20, "cuda": 2 << 30}
"""Memory for copies of a batch's KV cache (one copy is always made). A GPU is faster with many; on a CPU their allocation
takes more time than they save."""


@dataclass(frozen=True)
class Spelling:
    """One tokenization of a choice (by its index); `ended` where it includes the line break."""

    choice: int
    tokens: tuple[int, ...]
    ended: bool


class Choices:
    """Reads each prompt once, and the tokens of each score behind its KV cache."""

    def __init__(self, forward: Forward, prompts: Prompts, ends: Sequence[int], context: int | None) -> None:
        self.forward = forward
        self.prompts = prompts
        self.ends = sorted({*ends, *prompts.line_breaks()})
        self.context = context
        self.known: dict[tuple[str, tuple[str, ...]], tuple[Spelling, ...]] = {}

    def job(self, request: Request) -> Job:
        """A request as a job. Raises Fault where prompt and longest choice together exceed the context."""
        choices = tuple(request.parameters["choices"])
        if not choices or not all(_is_number(choice) for choice in choices) or len(set(choices)) < len(choices):
            raise Fault(FaultKind.REFUSED, "choices are different numbers", ", ".join(map(str, choices))[:300])
        text = self.prompts.text(request.messages)
        prompt = self.prompts.ids(text)
        spellings = self.spellings(text[-_TAIL:], choices)
        check_context(len(prompt) + max(len(spelling.tokens) for spelling in spellings), self.context)
        if not prompt:
            raise Fault(FaultKind.REQUEST, "empty prompt")
        return Job(request, ("choices", choices, spellings), prompt)

    def spellings(self, tail: str, choices: tuple[str, ...]) -> tuple[Spelling, ...]:
        """The tokenizations of the choices behind a text that ends with `tail`."""
        if (tail, choices) not in self.known:
            if len(self.known) > 1_000:
                self.known.clear()
            found = [
                spelling
                for number, choice in enumerate(choices)
                for spelling in self.spellings_of(tail, number, choice)
            ]
            self.known[tail, choices] = tuple(found)
        return self.known[tail, choices]

    def spellings_of(self, tail: str, number: int, choice: str) -> list[Spelling]:
        """A choice's own tokens, and those in which its last character is merged with the line break."""
        encode = self.prompts.encode
        before = encode(tail)

        def behind(text: str) -> tuple[int, ...] | None:
            tokens = encode(tail + text)
            return tuple(tokens[len(before) :]) if tokens[: len(before)] == before else None

        # The prompt's tokens are fixed: a choice that would merge with them is tokenized by itself.
        tokens = behind(choice) or tuple(encode(choice))
        lined = behind(f"{choice}\n")
        merged = lined is not None and lined[: len(tokens)] != tokens
        return [Spelling(number, tokens, False)] + ([Spelling(number, lined, True)] if merged and lined else [])

    def answers(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """The expected score and the probabilities, as JSON."""
        group: Any = jobs[0].group
        _, choices, spellings = group
        found = self.log_likelihoods([job.prompt for job in jobs], spellings, len(choices))
        return [self.answer(job, choices, row) for job, row in zip(jobs, found, strict=True)]

    def answer(self, job: Job, choices: Sequence[str], row: Any) -> Answer | Fault:
        """The answer to a job; `row` has the log-likelihoods (choices) in nats."""
        probabilities = row.softmax(-1).tolist()
        if any(p != p for p in probabilities):
            return Fault(FaultKind.REQUEST, "no finite probability")
        return Answer(expectation(choices, probabilities), len(job.prompt))

    def log_likelihoods(self, rows: Sequence[Sequence[int]], spellings: Sequence[Spelling], choices: int) -> Any:
        """Log-likelihoods (batch, choices), fp64, in nats, of each choice and its end behind each prompt."""
        import torch

        logits, prefix = self.forward.read(rows, 1, cached=True)
        first = logits[:, -1].float().log_softmax(-1)
        found = torch.full((len(rows), len(spellings)), -torch.inf, dtype=torch.float64, device=self.forward.device)
        ends = torch.tensor(self.ends, device=self.forward.device)
        paths = longest_paths(spellings)
        at_once = max(1, min(len(paths), _COPIES_BYTES[self.forward.device] // max(1, cache_bytes(prefix))))
        for start in range(0, len(paths), at_once):
            some = paths[start : start + at_once]
            after = self.read_paths(prefix, some, len(rows))
            ended = after[..., ends].logsumexp(-1)
            for number, spelling in enumerate(spellings):
                lane = next((lane for lane, path in enumerate(some) if covers(path, spelling)), None)
                if lane is not None:
                    found[:, number] = self.total(spelling, first, after[:, lane], ended[:, lane]).double()
        # One transfer for all spellings: each one synchronizes with the GPU.
        found = found.cpu()
        groups = [
            found[:, [at for at, spelling in enumerate(spellings) if spelling.choice == choice]]
            for choice in range(choices)
        ]
        return torch.stack([group.logsumexp(-1) for group in groups], dim=-1)

    def read_paths(self, prefix: Prefix, paths: Sequence[tuple[int, ...]], rows: int) -> Any:
        """Log-probabilities (batch, paths, tokens, vocabulary) after each token of each path."""
        import torch

        longest = max(len(path) for path in paths)
        # Logits behind a path's own tokens are ignored, so any token can pad it.
        padded = [[*path, *[self.forward.pad] * (longest - len(path))] for path in paths]
        ids = torch.tensor(padded, device=self.forward.device).repeat(rows, 1)
        logits = self.forward.extend(repeat(prefix, len(paths)), ids)
        return logits.float().log_softmax(-1).unflatten(0, (rows, len(paths)))

    def total(self, spelling: Spelling, first: Any, after: Any, ended: Any) -> Any:
        """Log-probability (batch) of a spelling and its end.

        `first` (batch, vocabulary) is before its first token, `after` (batch, tokens, vocabulary) and `ended` (batch, tokens)
        behind each.
        """
        total = first[:, spelling.tokens[0]]
        for at, token in enumerate(spelling.tokens[1:]):
            total = total + after[:, at, token]
        return total if spelling.ended else total + ended[:, len(spelling.tokens) - 1]


def longest_paths(spellings: Sequence[Spelling]) -> list[tuple[int, ...]]:
    """The token sequences that are a prefix of no other one: reading these covers all."""
    distinct = sorted({spelling.tokens for spelling in spellings})
    follower = [*distinct[1:], ()]
    return [path for path, after in zip(distinct, follower, strict=True) if after[: len(path)] != path]


def covers(path: tuple[int, ...], spelling: Spelling) -> bool:
    """Whether a path begins with the spelling."""
    return path[: len(spelling.tokens)] == spelling.tokens


def _is_number(text: Any) -> bool:
    try:
        return isinstance(text, str) and abs(float(text)) < float("inf")
    except ValueError:
        return False
