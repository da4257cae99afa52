"""A judge whose prompt is a file: its slots are filled in, and its replies have two scores or a letter."""

from __future__ import annotations

import re
from collections.abc import Mapping

from alpaqual.evaluation.questions import question_text
from alpaqual.judges._letters import read_letter
from alpaqual.judges._reading import read_vote
from alpaqual.judges._score_pairs import read_score_pair
from alpaqual.judges._spec import RATIONALE_TOKENS, VERDICT_TOKENS, JudgeSpec, ask_again
from alpaqual.judges.mt_bench import DEMAND as DEMAND_OF_LETTER
from alpaqual.judges.vicuna import DEMAND as DEMAND_OF_SCORES
from alpaqual.prompt_slots import MISSING, split_template
from alpaqual.values import Question, Reply, Request, Vote

SLOTS = (
    "question",
    "instruction",
    "input",
    "answer 1",
    "answer 2",
    "answer a",
    "answer b",
    "reference",
    "category",
    "skill",
)
"""Names of slots, written in brackets, in either case: `[Question]` is the instruction with its input, or a conversation."""
_SLOT = re.compile(rf"\[({'|'.join(SLOTS)})\]", re.IGNORECASE)
_NEEDED = (("question", "instruction"), ("answer 1", "answer a"), ("answer 2", "answer b"))


class Plugin:
    """Asks with the prompt of a file; `reply` says whether it is answered by two scores or by a letter."""

    VERSION = 1
    PAIRWISE = True
    SCORES = True
    """Where replies have a letter, its votes have no scores."""

    def __init__(self, spec: JudgeSpec, model: str) -> None:
        """Raises ValueError where the template lacks a slot, or where the kind of the reply is not clear."""
        template = spec.template or ""
        if problem := template_problem(template, spec.reply):
            raise ValueError(problem)
        self.model = model
        self.template = split_template(template)
        self.reply = spec.reply or "scores"
        self.SCORES = self.reply == "scores"
        # A prompt in a file may ask for the explanation first, so a letter is waited for.
        brief = self.SCORES and not spec.rationale
        self.parameters = spec.limited(VERDICT_TOKENS if brief else RATIONALE_TOKENS)

    def request(self, question: Question, first: str, second: str) -> Request:
        """The template filled in for a question and two answers."""
        slots = slots_of(question, first, second)
        filled = (
            (role, fill(text, slots)) for role, text in zip(("system", "user"), self.template, strict=True) if text
        )
        return Request(self.model, tuple(filled), self.parameters)

    def read(self, reply: Reply) -> Vote:
        """The vote of the two scores, or of the letter."""
        if self.SCORES:
            return read_vote(reply, read_score_pair, first_line=True)
        return read_vote(reply, read_letter, first_line=False)

    def follow_up(self, request: Request, vote: Vote, attempt: int) -> Request | None:
        """The request with one more sentence on the form of the reply, or for a longer one; once."""
        return ask_again(request, vote, attempt, DEMAND_OF_SCORES if self.SCORES else DEMAND_OF_LETTER)


def template_problem(template: str, reply: str | None) -> str:
    """What is wrong with a template, or nothing."""
    found = {slot.casefold() for slot in _SLOT.findall(template)}
    missing = [f"[{names[0].capitalize()}]" for names in _NEEDED if found.isdisjoint(names)]
    if missing:
        return f"the prompt has no {' and no '.join(missing)}: a judge sees a question and two answers"
    if reply is None and "[[A]]" in template:
        return "the prompt asks for [[A]]: say `reply: letter` (or `reply: scores` for two numbers on the first line)"
    return ""


def slots_of(question: Question, first: str, second: str) -> Mapping[str, str]:
    """The values of the slots; one without a text shows None."""
    groups = dict(question.groups)
    texts = {
        "question": question_text(question),
        "instruction": question.instruction,
        "input": question.input,
        "reference": question.reference,
        "category": groups.get("category", ""),
        "skill": groups.get("skill", ""),
    }
    answers = {"answer 1": first, "answer a": first, "answer 2": second, "answer b": second}
    return {slot: text or MISSING for slot, text in texts.items()} | answers


def fill(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled in one pass: the name of a slot inside an answer stays text."""
    return _SLOT.sub(lambda slot: slots[slot[1].casefold()], template)
