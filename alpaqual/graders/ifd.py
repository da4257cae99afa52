"""A grader that asks a local model how hard a row's instruction is to follow (IFD), from the model's own probabilities.

What is measured, and where it is undefined, is in `alpaqual/llm/_local_ifd.py`.
"""

from __future__ import annotations

import json
import math

from alpaqual.graders.model import Asking
from alpaqual.values import Grade, Reply, Request, Row


class Plugin:
    """Builds the request for a row, and reads the ratio in the reply."""

    VERSION = 1

    def __init__(self, asking: Asking, model: str) -> None:
        self.asking = asking
        self.model = model

    def request(self, row: Row) -> Request:
        """The instruction with its input, and the response that is measured. Sampling parameters decide nothing here."""
        asked = "\n\n".join(text for text in (row.instruction, row.input) if text)
        return Request(self.model, (("user", asked), ("assistant", row.response)), {"measure": "ifd"})

    def read(self, reply: Reply) -> Grade:
        """The ratio as it is; none where it lies off the scale or the reply holds no number."""
        try:
            found = json.loads(reply.text)
        except ValueError:
            found = None
        score = found.get("score") if isinstance(found, dict) else None
        if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
            return Grade(None, "no number", reply.text)
        if not self.asking.low <= score <= self.asking.high:
            return Grade(None, "out of scale", reply.text)
        return Grade(float(score), None, reply.text)

    def again(self, request: Request, grade: Grade, times: int) -> None:
        """Asked again, the model measures the same."""
        return
