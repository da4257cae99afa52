"""Instruction-following difficulty (IFD): how much the instruction lowers the perplexity of the response.

IFD = exp(mean NLL of the response given the instruction - mean NLL of the response alone), equations 1 to 4 of Li et al. 2023,
"From Quantity to Quality" (arXiv:2308.12032), computed with a small model as in "Superfiltering" (2024, arXiv:2402.00530). Below
1 the instruction helps to predict the response; at 1 and above the two do not fit.

Both means are over the same tokens: the response is tokenized once, and its first token counts in neither mean, since nothing
precedes it when the response is alone. (The authors' code counts it in one mean and not in the other.) The lone response
follows only the tokenizer's start token. Nothing is truncated, and an undefined measure gives no score: the authors' code gives
0, which reads as the easiest row of all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._local_forward import Forward
from alpaqual.llm._local_jobs import Answer, Job, check_context
from alpaqual.llm._local_prompts import Prompts
from alpaqual.values import Request

_UNDEFINED = "ifd is undefined"


class Difficulty:
    """Measures the last message (the assistant's) given those before it."""

    def __init__(self, forward: Forward, prompts: Prompts, context: int | None) -> None:
        self.forward = forward
        self.prompts = prompts
        self.context = context

    def job(self, request: Request) -> Job:
        """A request as a job. Raises Fault where the measure is undefined, or the sequence exceeds the context."""
        *question, (role, text) = request.messages
        if role != "assistant" or not question:
            raise Fault(FaultKind.REFUSED, "ifd is of a response to an instruction")
        response = self.prompts.encode(self.prompts.escape(text))
        if len(response) < 2:
            raise Fault(FaultKind.REQUEST, f"{_UNDEFINED}: fewer than 2 tokens")
        prompt = self.prompts.ids(self.prompts.text(question))
        check_context(len(prompt) + len(response), self.context)
        return Job(request, "ifd", prompt, response, len(response) - 1)

    def answers(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """The ratio and both perplexities, as JSON; `tokens` is the number of tokens in each mean."""
        responses = [job.response for job in jobs]
        given = self.means([job.prompt for job in jobs], responses)
        alone = self.means([self.prompts.start] * len(jobs), responses)
        return [_answer(job, *means) for job, *means in zip(jobs, given, alone, strict=True)]

    def means(self, before: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> list[float]:
        """Mean negative log-likelihood, in nats, of each response's tokens after its first, behind `before`."""
        from torch import stack, tensor
        from torch.nn.functional import cross_entropy

        # Nothing follows the last token: its logits are not needed.
        rows = [[*start, *response][:-1] for start, response in zip(before, responses, strict=True)]
        logits, _ = self.forward.read(rows, max(len(response) - 1 for response in responses))
        found = []
        for row, response in zip(logits, responses, strict=True):
            targets = tensor(response[1:], device=self.forward.device)
            found.append(cross_entropy(row[-len(targets) :].float(), targets, reduction="none").double().mean())
        # One transfer for the whole batch: each one synchronizes with the GPU.
        means: list[float] = stack(found).tolist()
        return means


def _answer(job: Job, given: float, alone: float) -> Answer | Fault:
    try:
        score, with_, without = (math.exp(mean) for mean in (given - alone, given, alone))
    except OverflowError:
        score = with_ = without = math.inf
    if not all(math.isfinite(number) for number in (score, with_, without)):
        return Fault(FaultKind.REQUEST, f"{_UNDEFINED}: no finite perplexity")
    fields = {"score": round(score, 6), "with": round(with_, 6), "without": round(without, 6), "tokens": job.kept}
    return Answer(json.dumps(fields), job.length)
