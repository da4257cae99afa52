"""Two scores from 1 to 10 on the first line: the prompt of the Vicuna evaluation, which AlpaGasus uses.

Quoted from Figure 23 of "AlpaGasus: Training a Better Alpaca with Fewer Data" (arXiv:2307.08701), with the line breaks of the
scripts that its authors and others published.
"""

from __future__ import annotations

from alpaqual.evaluation.questions import question_text
from alpaqual.judges._reading import read_vote
from alpaqual.judges._score_pairs import read_score_pair
from alpaqual.judges._spec import RATIONALE_TOKENS, VERDICT_TOKENS, JudgeSpec, ask_again
from alpaqual.values import Question, Reply, Request, Vote

SYSTEM = "You are a helpful and precise assistant for checking the quality of the answer."
BEFORE = "[Question]\n{question}\n\n[The Start of Assistant 1's Answer]\n"
BETWEEN = "\n\n[The End of Assistant 1's Answer]\n\n[The Start of Assistant 2's Answer]\n"
AFTER = (
    "\n\n[The End of Assistant 2's Answer]\n\n[System]\nWe would like to request your feedback on the performance of two AI "
    "assistants in response to the user question displayed above.\nPlease rate the helpfulness, relevance, accuracy, level of "
    "details of their responses. Each assistant receives an overall score on a scale of 1 to 10, where a higher score indicates "
    "better overall performance.\nPlease first output a single line containing only two values indicating the scores for "
    "Assistant 1 and 2, respectively. The two scores are separated by a space. In the subsequent line, please provide a "
    "comprehensive explanation of your evaluation, avoiding any potential bias and ensuring that the order in which the responses "
    "were presented does not affect your judgment.\n\n"
)
DEMAND = (
    "Your reply must begin with a line that has nothing but two numbers from 1 to 10: the score of Assistant 1, a space, "
    "the score of Assistant 2."
)


class Plugin:
    """Asks for two scores, which come first: without the rationale, the reply ends behind them."""

    VERSION = 1
    PAIRWISE = True
    SCORES = True

    def __init__(self, spec: JudgeSpec, model: str) -> None:
        self.model = model
        self.parameters = spec.limited(RATIONALE_TOKENS if spec.rationale else VERDICT_TOKENS)

    def request(self, question: Question, first: str, second: str) -> Request:
        """The messages and parameters that ask for the scores of two answers."""
        asked = BEFORE.replace("{question}", question_text(question))
        user = f"{asked}{first}{BETWEEN}{second}{AFTER}"
        return Request(self.model, (("system", SYSTEM), ("user", user)), self.parameters)

    def read(self, reply: Reply) -> Vote:
        """The vote of the two scores that a reply begins with."""
        return read_vote(reply, read_score_pair, first_line=True)

    def follow_up(self, request: Request, vote: Vote, attempt: int) -> Request | None:
        """The request with one more sentence on the form of the reply, or for a longer one; once."""
        return ask_again(request, vote, attempt, DEMAND)
