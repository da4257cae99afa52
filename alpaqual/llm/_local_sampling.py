"""Chooses the tokens of a local model's reply."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from alpaqual.values import Request


class Sampler:
    """Chooses the next token of one reply: the likeliest at temperature 0, else one drawn with a seed of the request's content."""

    def __init__(self, request: Request) -> None:
        import torch

        self.temperature = float(request.parameters.get("temperature") or 0)
        self.generator = torch.Generator().manual_seed(seed_of(request)) if self.temperature else None

    def next_token(self, logits: Any, likeliest: int) -> int:
        """The next token's id, given its logits (vocabulary)."""
        import torch

        if self.generator is None:
            return likeliest
        probabilities = (logits.double().cpu() / self.temperature).softmax(-1)
        return int(torch.multinomial(probabilities, 1, generator=self.generator))


def seed_of(request: Request) -> int:
    """63 bits of a sha256 over the request's content: the same request samples the same reply, a repeat another one."""
    content = [request.model, [list(message) for message in request.messages], dict(request.parameters), request.repeat]
    text = json.dumps(content, sort_keys=True).encode("utf-8", "replace")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
