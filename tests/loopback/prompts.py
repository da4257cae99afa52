"""What a body asks, and the score that it gets."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any


def prompt_of(body: dict[str, Any]) -> str:
    """All texts of a request, system first, one a line: the same for both providers."""
    system = body.get("system")
    texts = [system] if isinstance(system, str) else [block["text"] for block in system or []]
    texts += [_text(message["content"]) for message in body.get("input") or body["messages"]]
    return "\n".join(texts)


def joined(messages: Iterable[tuple[str, str]]) -> str:
    """The prompt of (role, text) pairs, as `prompt_of` sees it."""
    return "\n".join(text for _, text in messages)


def score_of(prompt: str) -> float:
    """0 to 5 by 0.5, from a hash of the prompt."""
    return zlib.crc32(prompt.encode("utf-8", "replace")) % 11 / 2


def named_score(name: str, score: float) -> float:
    """0 to 5 by 0.5 for one of several scores, from its name and the score of the prompt."""
    return zlib.crc32(f"{name} {score:g}".encode()) % 11 / 2


def drawn(seed: int, times: int, prompt: str) -> float:
    """A number from 0 to below 1 that depends on these three alone."""
    return zlib.crc32(f"{seed}|{times}|{prompt}".encode("utf-8", "replace")) / 2**32


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
