"""Instruction-following difficulty (IFD) of a row, from a local model's own probabilities.

`alpaqual/llm/_local_ifd.py` defines the measure and the rows for which it is undefined.
"""

from __future__ import annotations

import json
import math

from alpaqual.graders._prompt_spec import PromptSpec
from alpaqual.values import Grade, Reply, Request, Row


class Plugin:
    """Requests a row's perplexities, and reads their ratio from the reply."""

    VERSION = 1
    SCALE = (0.0, 10.0)
    PROBABILITIES = True
    EXPRESSION = None

    def __init__(self, prompt: PromptSpec, model: str) -> None:
        self.prompt = prompt
        self.model = model

    def request(self, row: Row) -> Request:
        """The instruction with its input, and the response that is measured; sampling parameters do not apply."""
        text = "\n\n".join(text for text in (row.instruction, row.input) if text)
        return Request(self.model, (("user", text), ("assistant", row.response)), {"measure": "ifd"})

    def read(self, reply: Reply) -> Grade:
        """The ratio; no score where it is off the scale or the reply holds no number."""
        try:
            found = json.loads(reply.text)
        except ValueError:
            found = None
        score = found.get("score") if isinstance(found, dict) else None
        if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
            return Grade(None, "no number", reply.text)
        if not self.prompt.low <= score <= self.prompt.high:
            return Grade(None, "out of scale", reply.text)
        return Grade(float(score), None, reply.text)

    def follow_up(self, request: Request, grade: Grade, attempt: int) -> None:
        """None: a second measurement gives the same."""
        return
