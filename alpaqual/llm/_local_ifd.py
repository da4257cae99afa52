"""Instruction-following difficulty (IFD): how much less sure of a response a model is than an instruction should make it.

IFD = exp(mean NLL of the response given the instruction - mean NLL of the response alone), equations 1 to 4 of Li et al. 2023,
"From Quantity to Quality" (arXiv:2308.12032), computed with a small model as in "Superfiltering" (2024, arXiv:2402.00530). Below
1 the instruction helps; 1 and above says that it does not fit its response.

Both means are over the same tokens: the response is cut into tokens once, and its first token counts in neither mean, since
alone it has nothing before it that could predict it. (The authors' code counts it in one mean and not in the other.) Alone, the
response stands behind nothing but what the tokenizer puts before any text. Nothing is cut off, and what is undefined has no
score: the authors' code gives 0, which reads as the easiest row of all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._local_forward import Forward
from alpaqual.llm._local_jobs import Answer, Job, fit
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
        """Raises Fault where the measure is undefined, or the whole is longer than the context."""
        *asked, (role, said) = request.messages
        if role != "assistant" or not asked:
            raise Fault(FaultKind.REFUSED, "ifd is of a response to an instruction")
        response = self.prompts.encode(self.prompts.tame(said))
        if len(response) < 2:
            raise Fault(FaultKind.REQUEST, f"{_UNDEFINED}: fewer than 2 tokens")
        prompt = self.prompts.ids(self.prompts.text(asked))
        fit(len(prompt) + len(response), self.context)
        return Job(request, "ifd", prompt, response, len(response) - 1)

    def answers(self, jobs: Sequence[Job]) -> list[Answer | Fault]:
        """The ratio and both perplexities, as JSON; `tokens` is how many they are over."""
        responses = [job.response for job in jobs]
        given = self.means([job.prompt for job in jobs], responses)
        alone = self.means([self.prompts.start] * len(jobs), responses)
        return [_answer(job, *means) for job, *means in zip(jobs, given, alone, strict=True)]

    def means(self, before: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> list[float]:
        """Mean negative log-likelihood, in nats, of each response's tokens but the first behind what is before it."""
        from torch import stack, tensor
        from torch.nn.functional import cross_entropy

        # The last token predicts nothing that counts.
        rows = [[*start, *response][:-1] for start, response in zip(before, responses, strict=True)]
        logits, _ = self.forward.read(rows, max(len(response) - 1 for response in responses))
        found = []
        for row, response in zip(logits, responses, strict=True):
            targets = tensor(response[1:], device=self.forward.device)
            found.append(cross_entropy(row[-len(targets) :].float(), targets, reduction="none").double().mean())
        # All at once: a GPU would else be waited for once a row.
        means: list[float] = stack(found).tolist()
        return means


def _answer(job: Job, given: float, alone: float) -> Answer | Fault:
    try:
        score, with_, without = (math.exp(mean) for mean in (given - alone, given, alone))
    except OverflowError:
        score = with_ = without = math.inf
    if not all(math.isfinite(number) for number in (score, with_, without)):
        return Fault(FaultKind.REQUEST, f"{_UNDEFINED}: no finite perplexity")
    told = {"score": round(score, 6), "with": round(with_, 6), "without": round(without, 6), "tokens": job.kept}
    return Answer(json.dumps(told), job.length)
