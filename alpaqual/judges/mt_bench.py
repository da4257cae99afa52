"""A verdict by letter, [[A]], [[B]] or [[C]]: MT-bench's prompts for pairs, with a reference answer where a question has one.

Quoted from `pair-v2` and `pair-math-v1` of FastChat: Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena"
(arXiv:2306.05685). They ask for an explanation before the verdict. Without the rationale, the two sentences about it are left out,
and the prompt asks for the verdict alone: such a judge is cheaper, and is not the published one.
"""

from __future__ import annotations

from alpaqual.evaluation.questions import question_text
from alpaqual.judges._letters import read_letter
from alpaqual.judges._reading import read_vote
from alpaqual.judges._spec import RATIONALE_TOKENS, VERDICT_TOKENS, JudgeSpec, ask_again
from alpaqual.values import Question, Reply, Request, Vote

_ROLE = (
    "Please act as an impartial judge and evaluate the quality of the responses provided by two AI assistants to the user question "
    "displayed below."
)
_GENERAL = (
    "You should choose the assistant that follows the user's instructions and answers the user's question better. Your evaluation "
    "should consider factors such as the helpfulness, relevance, accuracy, depth, creativity, and level of detail of their responses."
)
_EXPLAIN = "Begin your evaluation by comparing the two responses and provide a short explanation."
_WITH_REFERENCE = (
    "Your evaluation should consider correctness and helpfulness. You will be given a reference answer, assistant A's answer, and "
    "assistant B's answer. Your job is to evaluate which assistant's answer is better."
)
_EXPLAIN_WITH_REFERENCE = "Begin your evaluation by comparing both assistants' answers with the reference answer. Identify and correct any mistakes."
_FAIR = (
    "Avoid any positional biases and ensure that the order in which the responses were presented does not influence your decision. "
    "Do not allow the length of the responses to influence your evaluation. Do not favor certain names of the assistants. Be as "
    "objective as possible."
)
_VERDICT = 'by strictly following this format: "[[A]]" if assistant A is better, "[[B]]" if assistant B is better, and "[[C]]" for a tie.'
_BEHIND_EXPLANATION = f"After providing your explanation, output your final verdict {_VERDICT}"
_ALONE = f"Output your final verdict and nothing else, {_VERDICT}"
DEMAND = 'Your reply must be your final verdict and nothing else: "[[A]]", "[[B]]" or "[[C]]".'


class Plugin:
    """Asks which of two answers is better; a reference answer is shown where the question has one."""

    VERSION = 1
    PAIRWISE = True
    SCORES = False

    def __init__(self, spec: JudgeSpec, model: str) -> None:
        self.model = model
        self.rationale = spec.rationale
        self.parameters = spec.limited(RATIONALE_TOKENS if spec.rationale else VERDICT_TOKENS)

    def request(self, question: Question, first: str, second: str) -> Request:
        """The messages and parameters that ask for a verdict on two answers."""
        reference = question.reference
        parts = [f"[User Question]\n{question_text(question)}"]
        if reference:
            parts.append(f"[The Start of Reference Answer]\n{reference}\n[The End of Reference Answer]")
        parts += [
            f"[The Start of Assistant {name}'s Answer]\n{answer}\n[The End of Assistant {name}'s Answer]"
            for name, answer in (("A", first), ("B", second))
        ]
        messages = (
            ("system", system_prompt(reference=bool(reference), rationale=self.rationale)),
            ("user", "\n\n".join(parts)),
        )
        return Request(self.model, messages, self.parameters)

    def read(self, reply: Reply) -> Vote:
        """The vote of the verdict that a reply ends with."""
        return read_vote(reply, read_letter, first_line=False)

    def follow_up(self, request: Request, vote: Vote, attempt: int) -> Request | None:
        """The request with one more sentence on the form of the reply, or for a longer one; once."""
        return ask_again(request, vote, attempt, DEMAND)


def system_prompt(*, reference: bool, rationale: bool) -> str:
    """The instructions: for general questions, or for those with a reference answer; with an explanation or without."""
    role, explain = (_WITH_REFERENCE, _EXPLAIN_WITH_REFERENCE) if reference else (_GENERAL, _EXPLAIN)
    explained = (explain,) if rationale else ()
    return " ".join((_ROLE, role, *explained, _FAIR, _BEHIND_EXPLANATION if rationale else _ALONE))
