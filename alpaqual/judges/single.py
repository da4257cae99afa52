"""A rating of one answer by itself, from 1 to 10: MT-bench's prompts for single answers.

Quoted from `single-v1` and `single-math-v1` of FastChat: Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena"
(arXiv:2306.05685). They ask for an explanation before the rating. Without the rationale, the two sentences about it are left out,
and the prompt asks for the rating alone: such a judge is cheaper, and is not the published one.
"""

from __future__ import annotations

from alpaqual.evaluation.questions import question_text
from alpaqual.judges._ratings import read_rating
from alpaqual.judges._reading import read_vote
from alpaqual.judges._spec import RATIONALE_TOKENS, VERDICT_TOKENS, JudgeSpec, ask_again
from alpaqual.values import Question, Reply, Request, Vote

SYSTEM = "You are a helpful assistant."
_ROLE = (
    "Please act as an impartial judge and evaluate the quality of the response provided by an AI assistant to the user question "
    "displayed below."
)
_GENERAL = (
    "Your evaluation should consider factors such as the helpfulness, relevance, accuracy, depth, creativity, and level of detail of "
    "the response."
)
_EXPLAIN = "Begin your evaluation by providing a short explanation."
_WITH_REFERENCE = "Your evaluation should consider correctness and helpfulness. You will be given a reference answer and the assistant's answer."
_EXPLAIN_WITH_REFERENCE = "Begin your evaluation by comparing the assistant's answer with the reference answer. Identify and correct any mistakes."
_FAIR = "Be as objective as possible."
_FORM = (
    'the response on a scale of 1 to 10 by strictly following this format: "[[rating]]", for example: "Rating: [[5]]".'
)
_BEHIND_EXPLANATION = f"After providing your explanation, you must rate {_FORM}"
_ALONE = f"Without any explanation, you must rate {_FORM}"
DEMAND = 'Your reply must be a rating from 1 to 10 and nothing else, such as "Rating: [[5]]".'


class Plugin:
    """Asks for the rating of one answer; a reference answer is shown where the question has one."""

    VERSION = 1
    PAIRWISE = False
    SCORES = True

    def __init__(self, spec: JudgeSpec, model: str) -> None:
        self.model = model
        self.rationale = spec.rationale
        self.parameters = spec.limited(RATIONALE_TOKENS if spec.rationale else VERDICT_TOKENS)

    def request(self, question: Question, first: str, second: str = "") -> Request:
        """The messages and parameters that ask for the rating of the answer `first`."""
        reference = question.reference
        parts = [
            f"[Instruction]\n{instructions(reference=bool(reference), rationale=self.rationale)}",
            f"[Question]\n{question_text(question)}",
        ]
        if reference:
            parts.append(f"[The Start of Reference Answer]\n{reference}\n[The End of Reference Answer]")
        parts.append(f"[The Start of Assistant's Answer]\n{first}\n[The End of Assistant's Answer]")
        return Request(self.model, (("system", SYSTEM), ("user", "\n\n".join(parts))), self.parameters)

    def read(self, reply: Reply) -> Vote:
        """A vote with the one score that a reply gives, and without a winner."""
        return read_vote(reply, read_rating, first_line=False)

    def follow_up(self, request: Request, vote: Vote, attempt: int) -> Request | None:
        """The request with one more sentence on the form of the reply, or for a longer one; once."""
        return ask_again(request, vote, attempt, DEMAND)


def instructions(*, reference: bool, rationale: bool) -> str:
    """The instructions: for general questions, or for those with a reference answer; with an explanation or without."""
    role, explain = (_WITH_REFERENCE, _EXPLAIN_WITH_REFERENCE) if reference else (_GENERAL, _EXPLAIN)
    explained = (explain,) if rationale else ()
    return " ".join((_ROLE, role, *explained, _FAIR, _BEHIND_EXPLANATION if rationale else _ALONE))
