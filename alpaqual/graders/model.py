"""A grader that asks a model: the paper's prompt filled in for a row, and the parameters sent with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from alpaqual.graders._reply import parse_score
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

_SLOT = re.compile(r"\[(instruction|input|response|dimension|min|max)\]", re.IGNORECASE)
REPAIRS = 2
"""How often a model is asked again whose reply holds no score."""
_HOPELESS = ("refusal", "unfinished thinking")
"""Asking these again costs as much and gives the same."""


@dataclass(frozen=True)
class Example:
    """A row with the score it should get, shown to the model before it is asked."""

    row: Row
    score: float
    rationale: str = ""


@dataclass(frozen=True)
class Asking:
    """What is asked about every row: the dimension, the scale, the sampling parameters, and how the prompt is made.

    `structured` asks for JSON that holds the score (and the rationale, where it is kept); `choices` has the texts of all scores
    of the scale where a local model is to give the expectation over them.
    """

    dimension: str
    low: float
    high: float
    parameters: Mapping[str, Any]
    template: str | None = None
    step: float | None = None
    examples: Sequence[Example] = ()
    structured: bool = False
    rationale: bool = False
    choices: Sequence[str] = ()


class Plugin:
    """Builds the request for a row, and reads the reply."""

    VERSION = 2

    def __init__(self, asking: Asking, model: str) -> None:
        self.asking = asking
        self.model = model
        self.template = (PAPER_SYSTEM, PAPER_USER) if asking.template is None else split_template(asking.template)
        self.parameters = dict(asking.parameters)
        if asking.structured:
            self.parameters["schema"] = score_schema(asking)
        if asking.choices:
            self.parameters["choices"] = list(asking.choices)
        self.shown = tuple(message for example in asking.examples for message in self.turns(example))

    def request(self, row: Row) -> Request:
        """The messages and parameters that ask for the row's score."""
        messages = self.asked(row)
        if self.shown:
            # An example is a turn of its own, and what the paper puts into the system part belongs to its row.
            messages = (*self.shown, ("user", "\n\n".join(text for _, text in messages)))
        return Request(self.model, messages, self.parameters)

    def asked(self, row: Row) -> tuple[tuple[str, str], ...]:
        """The template filled in for a row."""
        slots = slots_of(row, self.asking)
        filled = ((role, fill(text, slots)) for role, text in zip(("system", "user"), self.template, strict=True))
        return tuple((role, text) for role, text in filled if text)

    def turns(self, example: Example) -> tuple[tuple[str, str], ...]:
        """The two turns that show an example."""
        said = f"{example.score:g}" + (f"\n{example.rationale}" if example.rationale else "")
        if self.asking.structured:
            reply = {"score": example.score} | ({"rationale": example.rationale} if self.asking.rationale else {})
            said = json.dumps(reply, ensure_ascii=False)
        return ("user", "\n\n".join(text for _, text in self.asked(example.row))), ("assistant", said)

    def read(self, reply: Reply) -> Grade:
        """The score that a reply gives, or why it gives none."""
        return parse_score(reply.text, self.asking.low, self.asking.high, self.asking.dimension)

    def again(self, request: Request, grade: Grade, times: int) -> Request | None:
        """The same question with a plainer word on the form of the answer; None where asking will not help."""
        if times > REPAIRS or grade.reason in _HOPELESS or self.asking.choices:
            return None
        form = f"a number from {self.asking.low:g} to {self.asking.high:g}"
        word = "Your reply must begin with the score" if times == 1 else "Begin your reply with nothing but the score"
        role, text = request.messages[-1]
        messages = (*request.messages[:-1], (role, f"{text}\n\n{word}, {form}."))
        return replace(request, messages=messages)


def score_schema(asking: Asking) -> dict[str, Any]:
    """JSON Schema of a structured reply: the score comes first, so that it does not follow from what is said after it."""
    score: dict[str, Any] = {"type": "number"}
    if asking.step is not None:
        score = {"enum": [float(text) for text in scores_of(asking.low, asking.high, asking.step)]}
    properties = {"score": score} | ({"rationale": {"type": "string"}} if asking.rationale else {})
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def scores_of(low: float, high: float, step: float) -> list[str]:
    """The texts of all scores of a scale, from the lowest."""
    first, last, by = (Fraction(repr(float(number))) for number in (low, high, step))
    return [f"{float(first + k * by):g}" for k in range(int((last - first) / by) + 1)]


def split_template(text: str) -> tuple[str, str]:
    """A prompt file's system and user part, parted by a line of three dashes; without one all of it is the user part."""
    system, dashes, user = text.partition("\n---\n")
    return (system.strip(), user.strip()) if dashes else ("", text.strip())


def slots_of(row: Row, asking: Asking) -> Mapping[str, str]:
    """What stands in a template's slots. A row without an input says None there, as the paper's examples do (appendix F)."""
    return {
        "instruction": row.instruction,
        "input": row.input or "None",
        "response": row.response,
        "dimension": asking.dimension,
        "min": f"{asking.low:g}",
        "max": f"{asking.high:g}",
    }


def fill(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled in one pass: a slot's name inside a row's text stays text."""
    return _SLOT.sub(lambda match: slots[match[1].lower()], template)
