"""A judge of two answers: what it says to the prompts of the Vicuna evaluation and of MT-bench."""

from __future__ import annotations

import hashlib
import re

_SCORES = re.compile(
    r"\[The Start of Assistant 1's Answer\]\n(.*?)\n\n\[The End of Assistant 1's Answer\].*?"
    r"\[The Start of Assistant 2's Answer\]\n(.*?)\n\n\[The End of Assistant 2's Answer\]",
    re.DOTALL,
)
_LETTERS = re.compile(
    r"\[The Start of Assistant A's Answer\]\n(.*?)\n\[The End of Assistant A's Answer\].*?"
    r"\[The Start of Assistant B's Answer\]\n(.*?)\n\[The End of Assistant B's Answer\]",
    re.DOTALL,
)


def verdict(prompt: str, how: str, seed: int) -> str | None:
    """The reply to a prompt that shows two answers; None for any other prompt.

    `how` is first (always prefers the first answer), longer, random (from a hash of seed and prompt), or the beginning of the
    answers that win.
    """
    scores, letters = _SCORES.search(prompt), _LETTERS.search(prompt)
    found = scores or letters
    if found is None:
        return None
    first, second = _points(how, found[1], found[2], f"{seed} {prompt}")
    if scores:
        return f"{first} {second}\nBecause that is what these answers deserve."
    letter = "C" if first == second else "A" if first > second else "B"
    return f"Because that is what these answers deserve. [[{letter}]]"


def _points(how: str, first: str, second: str, chance: str) -> tuple[int, int]:
    if how == "first":
        return 9, 3
    if how == "longer":
        return (5, 5) if len(first) == len(second) else (9, 3) if len(first) > len(second) else (3, 9)
    if how == "random":
        digest = hashlib.sha256(chance.encode()).digest()
        return 1 + digest[0] % 10, 1 + digest[1] % 10
    return 9 if first.startswith(how) else 3, 9 if second.startswith(how) else 3
