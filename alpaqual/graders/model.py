"""Scores from a model's replies: the paper's prompt filled in for a row, and the parameters sent with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alpaqual.amounts import exact
from alpaqual.graders._scores import (
    FENCE_WORDS,
    ScoreSpec,
    demand,
    described_levels,
    described_scores,
    fenced,
    keys_with_ranges,
    rate_each,
)
from alpaqual.prompt_slots import MISSING, SCORE, fill, split_template
from alpaqual.reply_places import FIRST_LINE, JSON, LAST_LINE

if TYPE_CHECKING:
    # `check` imports the plug-ins of graders; it makes neither prompts nor requests.
    from alpaqual.graders._prompt_spec import Example, PromptSpec
    from alpaqual.values import Grade, Reply, Request, Row

# The paper's rating prompt, quoted from Figure 4 of "AlpaGasus: Training a Better Alpaca with Fewer Data" (arXiv:2307.08701).
PAPER_SYSTEM = (
    "We would like to request your feedback on the performance of AI assistant in response to the instruction and the given "
    "input displayed following.\n\nInstruction: [Instruction]\n\nInput: [Input]\n\nResponse: [Response]"
)
PAPER_USER = (
    "Please rate according to the [dimension] of the response to the instruction and the input. Each assistant receives a score "
    "on a scale of [min] to [max], where a higher score indicates higher level of the [dimension]. Please first output a single "
    "line containing the value indicating the scores. In the subsequent line, please provide a comprehensive explanation of your "
    "evaluation, avoiding any potential bias."
)

MAX_FOLLOW_UPS = 2
"""Requests at most after a first reply without a score."""
_DEMANDS = {
    FIRST_LINE: ("Your reply must begin with the score", "Begin your reply with nothing but the score"),
    LAST_LINE: ("Your reply must end with the score on a line of its own", "Reply with nothing but the score"),
    JSON: ('Your reply must be JSON with the key "score"', 'Reply with nothing but JSON with the key "score"'),
}
"""The sentence of each follow-up request, by where the score is; the range of the scale follows."""
_DEMANDS_OF_FORM = ("Your reply must have the score in the form that was asked for",) * 2


class Plugin:
    """Builds the request for a row, and reads the reply."""

    VERSION = 3
    SCALE = (0.0, 5.0)
    PROBABILITIES = False
    EXPRESSION = None

    def __init__(self, prompt: PromptSpec, model: str) -> None:
        self.prompt = prompt
        self.model = model
        self.template = template_of(prompt)
        self.parameters = dict(prompt.parameters)
        if prompt.cache:
            from alpaqual.graders._prompt_order import constant_first

            self.template = constant_first(*self.template)
            self.parameters["cache"] = True
        if prompt.structured:
            self.parameters["schema"] = score_schema(prompt)
        if prompt.choices:
            self.parameters["choices"] = list(prompt.choices)
        self.examples = tuple(message for example in prompt.examples for message in self.turns(example))

    def request(self, row: Row) -> Request:
        """The messages and parameters that ask for the row's score."""
        from alpaqual.values import Request

        messages = self.messages(row)
        if self.prompt.cache:
            messages = (*messages[:-1], *self.examples, messages[-1])
        elif self.examples:
            # Each example is a turn, and the paper's system part holds the row: it goes into the row's own turn.
            messages = (*self.examples, ("user", "\n\n".join(text for _, text in messages)))
        return Request(self.model, messages, self.parameters)

    def messages(self, row: Row) -> tuple[tuple[str, str], ...]:
        """The template filled in for a row."""
        slots = slots_of(row, self.prompt)
        filled = ((role, fill(text, slots)) for role, text in zip(("system", "user"), self.template, strict=True))
        return tuple((role, text) for role, text in filled if text)

    def turns(self, example: Example) -> tuple[tuple[str, str], ...]:
        """The two turns that show an example."""
        scores = {score.name: example.scores[score.name] for score in self.prompt.scores}
        reply = f"{example.score:g}" + (f"\n{example.rationale}" if example.rationale else "")
        if self.prompt.structured or scores:
            fields: dict[str, Any] = scores or {"score": example.score}
            fields = fields | ({"rationale": example.rationale} if self.prompt.rationale else {})
            reply = json.dumps(fields, ensure_ascii=False)
        messages = self.messages(example.row)[-1 if self.prompt.cache else 0 :]
        return ("user", "\n\n".join(text for _, text in messages)), ("assistant", reply)

    def read(self, reply: Reply) -> Grade:
        """The score that a reply gives, or the reason why it gives none."""
        prompt = self.prompt
        if prompt.scores:
            from alpaqual.graders._reply_scores import parse_scores

            return parse_scores(reply.text, prompt.scores, reply.finish_reason)
        # A recipe without such a grader compiles none of the grammar's patterns.
        from alpaqual.graders._reply import parse_score

        return parse_score(reply.text, prompt.low, prompt.high, prompt.dimension, reply.finish_reason, prompt.reply)

    def follow_up(self, request: Request, grade: Grade, attempt: int) -> Request | None:
        """The first request with one more sentence on the form of the reply; None where it would not help.

        After a reply that was cut, the request allows a longer one, and is the last.
        """
        # A recipe without such a grader compiles none of the grammar's patterns.
        from alpaqual.reply_text import CUT, FINAL_REASONS, longer, with_demand

        if attempt > MAX_FOLLOW_UPS or grade.reason in FINAL_REASONS or self.prompt.choices:
            return None
        if grade.reason == CUT:
            return longer(request) if attempt == 1 else None
        if self.prompt.scores:
            start = "Your reply must be" if attempt == 1 else "Reply with nothing but"
            asked = f"{start} one JSON object with a number for {keys_with_ranges(self.prompt.scores)}."
            return with_demand(request, asked)
        form = f"a number from {self.prompt.low:g} to {self.prompt.high:g}"
        first, later = _DEMANDS.get(self.prompt.reply, _DEMANDS_OF_FORM)
        wanted = first if attempt == 1 else later
        return with_demand(request, f"{wanted}, {form}.")


def score_schema(prompt: PromptSpec) -> dict[str, Any]:
    """JSON Schema of a structured reply: the score comes first, so that the rationale cannot lead to it."""
    scores = prompt.scores or (ScoreSpec("score", prompt.low, prompt.high, prompt.step),)
    properties: dict[str, Any] = {score.name: _score_type(score) for score in scores}
    properties |= {"rationale": {"type": "string"}} if prompt.rationale else {}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _score_type(score: ScoreSpec) -> dict[str, Any]:
    """JSON Schema of one score."""
    if score.step is None:
        return {"type": "number"}
    return {"enum": [float(text) for text in scores_of(score.low, score.high, score.step)]}


def scores_of(low: float, high: float, step: float) -> list[str]:
    """The texts of all scores of a scale, in ascending order."""
    first, last, by = (exact(number) for number in (low, high, step))
    return [f"{float(first + k * by):g}" for k in range(int((last - first) / by) + 1)]


def template_of(prompt: PromptSpec) -> tuple[str, str]:
    """The system and user part of a grader's prompt, before a row fills it in.

    Levels, several scores and the meaning of marks follow the template, unless it has a slot for them.
    """
    system, user = (PAPER_SYSTEM, PAPER_USER) if prompt.template is None else split_template(prompt.template)
    if prompt.scores and prompt.template is None:
        user = rate_each("the response to the instruction and the input")
    text = f"{system}\n{user}".lower()
    more = []
    if prompt.scores:
        more += [] if "[scores]" in text else ["[scores]"]
        more += [demand(prompt.scores, rationale=prompt.rationale)]
    elif prompt.levels and "[levels]" not in text:
        more.append("What the scores mean:\n[levels]")
    if prompt.fence:
        more.append(FENCE_WORDS)
    return system, "\n\n".join(part for part in (user, *more) if part)


def slots_of(row: Row, prompt: PromptSpec) -> Mapping[str, str]:
    """The values of a template's slots. An empty input is None, as in the paper's examples (appendix F)."""
    texts = {
        "instruction": row.instruction,
        "input": row.input,
        "response": row.response,
        "conversation": row.conversation or _as_turns(row),
        **row.values,
    }
    if prompt.fence:
        scores = {slot: text for slot, text in texts.items() if slot.startswith(f"{SCORE}:")}
        texts = fenced(texts) | scores
    own = {"levels": described_levels(prompt.levels)} if prompt.levels else {}
    own |= {"scores": described_scores(prompt.scores)} if prompt.scores else {}
    return {
        **{slot: text or MISSING for slot, text in texts.items()},
        "dimension": prompt.dimension,
        "min": f"{prompt.low:g}",
        "max": f"{prompt.high:g}",
        **own,
    }


def _as_turns(row: Row) -> str:
    """Three texts as the turns of a conversation."""
    question = "\n\n".join(text for text in (row.instruction, row.input) if text)
    return f"User: {question}\n\nAssistant: {row.response}"
