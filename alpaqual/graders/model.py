"""A grader that asks a model: the paper's prompt filled in for a row, and the parameters sent with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alpaqual.values import Request, Row

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


@dataclass(frozen=True)
class Asking:
    """What is asked about every row: the dimension, the ends of the scale, and the sampling parameters."""

    dimension: str
    low: float
    high: float
    parameters: Mapping[str, Any]
    template: str | None = None


class Plugin:
    """Builds the request for a row."""

    VERSION = 1

    def __init__(self, asking: Asking, model: str) -> None:
        self.asking = asking
        self.model = model
        self.template = (PAPER_SYSTEM, PAPER_USER) if asking.template is None else split_template(asking.template)

    def request(self, row: Row) -> Request:
        """The messages and parameters that ask for the row's score."""
        slots = slots_of(row, self.asking)
        messages = tuple(
            (role, fill(text, slots)) for role, text in zip(("system", "user"), self.template, strict=True) if text
        )
        return Request(self.model, messages, self.asking.parameters)


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
