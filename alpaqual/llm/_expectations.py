"""The expectation over the scores of a scale: from each score's probability, or from a server's `top_logprobs`.

A server shows the most probable tokens at each position of the one reply that it wrote. Along that reply probabilities multiply.
A token beside it may be the beginning of several scores (`3` of 3 and 3.5): they share its probability in equal parts. Where the
true parts could move the expectation by more than half a step, there is no score.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_LEAST = 0.5
"""Least probability of any score at all: with less, the model was about to write something else."""
_MAX_LABEL = 60
_LABEL = re.compile(r"[\W_]*|\s*[^\n]*[:：][^\S\n]*[*_]*[^\S\n]*")
"""What may be before a score: marks, or a text that ends in a colon."""
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_SEVERAL_DIGITS = re.compile(r"\s*[0-9]{2}")
_REST = re.compile(r"[\s*_`.|$)\]}\"]*(?:(?:/|out of|of)\s*[0-9]+(?:\.0)?[\s*_`.|$)\]}\"]*)?", re.IGNORECASE)
"""What may follow a score on its line."""
Token = tuple[str, Mapping[str, float]]
"""A token of a reply, and the log-probability (nats) of the most probable tokens at its position, itself included."""


def expectation(choices: Sequence[str], probabilities: Sequence[float], **more: Any) -> str:
    """The reply of an expectation, as JSON: the score and the probability of each choice, which add up to 1."""
    score = sum(p * float(choice) for p, choice in zip(probabilities, choices, strict=True))
    rounded = {choice: round(p, 6) for choice, p in zip(choices, probabilities, strict=True)}
    return json.dumps({"score": round(score, 6), "probabilities": rounded, **more})


def expectation_of(choices: Sequence[str], tokens: Sequence[Token], text: str, *, cut: bool = False) -> str:
    """The reply of an expectation, as JSON, from the tokens of a reply; without a score where its first line is none.

    `cut`: whether the reply was ended by its length, so that its last number may be incomplete.
    """
    shares = _Shares(tuple(choices), cut)
    found = shares.read(tokens)
    total = sum(found.values())
    step = min((b - a for a, b in zip(shares.values, shares.values[1:], strict=False)), default=math.inf)
    if total < _LEAST or shares.doubt / total > step / 2:
        return json.dumps({"score": None, "reply": text}, ensure_ascii=False)
    doubt = {"uncertain": round(shares.doubt / total, 6)} if shares.doubt / total >= 1e-6 else {}
    return expectation(choices, [found[choice] / total for choice in choices], **doubt)


def tokens_of(logprobs: object) -> list[Token]:
    """The tokens of a choice's `logprobs`; [] where the server gives none."""
    if not isinstance(logprobs, Mapping):
        return []
    content = logprobs.get("content")
    if isinstance(content, list):
        return [_token(each) for each in content if isinstance(each, Mapping)]
    # The older form, of completions: lists of the same length.
    names, tops = logprobs.get("tokens"), logprobs.get("top_logprobs")
    own = logprobs.get("token_logprobs")
    if not isinstance(names, list) or not isinstance(tops, list) or not isinstance(own, list):
        return []
    return [
        (str(name), {**_numbers(top), **_numbers({name: at})}) for name, top, at in zip(names, tops, own, strict=False)
    ]


def _token(each: Mapping[str, Any]) -> Token:
    tops = [top for top in each.get("top_logprobs") or [] if isinstance(top, Mapping)]
    shown = {str(top.get("token")): top.get("logprob") for top in [*tops, each]}
    return str(each.get("token")), _numbers(shown)


def _numbers(found: object) -> dict[str, float]:
    pairs = found.items() if isinstance(found, Mapping) else ()
    return {str(name): float(value) for name, value in pairs if isinstance(value, int | float) and value == value}


@dataclass
class _Shares:
    """The probability of each choice, and by how much their expectation can be off."""

    choices: tuple[str, ...]
    cut: bool
    found: dict[str, float] = field(default_factory=dict)
    doubt: float = 0.0
    grouped: bool = False
    """Whether the tokenizer has tokens of several digits: `1` is then no beginning of `10`."""

    @property
    def values(self) -> list[float]:
        """The scores in ascending order."""
        return sorted(map(float, self.choices))

    def read(self, tokens: Sequence[Token]) -> dict[str, float]:
        """The probability of each choice at the place of the score in a reply."""
        self.found, self.doubt = dict.fromkeys(self.choices, 0.0), 0.0
        start = self.start(tokens)
        self.grouped = any(_SEVERAL_DIGITS.match(token) for _, tops in tokens[start : start + 1] for token in tops)
        written, reached = "", 1.0
        for at, (token, tops) in enumerate(tokens[start:], start):
            for other, logprob in tops.items():
                if other != token:
                    self.share(written + (other if written else other.lstrip()), reached * math.exp(logprob))
            reached *= math.exp(tops.get(token, -math.inf))
            written += token if written else token.lstrip()
            if not self.begun(written):
                rest = written[len(self.number(written)) :] + "".join(name for name, _ in tokens[at + 1 :])
                self.end(written, rest, reached)
                return self.found
        if written and not self.cut:
            self.end(written, "", reached)
        return self.found

    def start(self, tokens: Sequence[Token]) -> int:
        """The position of the first token of a number on the first line, behind marks or a label such as `Score:`."""
        before = ""
        for at, (token, _) in enumerate(tokens):
            name = token.lstrip()
            if name[:1].isdigit() or (name[:1] == "-" and not before.strip()):
                return at if _LABEL.fullmatch(before) else len(tokens)
            before += token
            if len(before) > _MAX_LABEL:
                break
        return len(tokens)

    def end(self, written: str, rest: str, probability: float) -> None:
        """Count the reply itself, where nothing else than its score is on the line."""
        choice = self.choice(written)
        first_line = rest.lstrip(" ").partition("\n")[0]
        if choice is not None and _REST.fullmatch(first_line):
            self.found[choice] += probability
        else:
            # A number in a sentence or of a list.
            self.found = dict.fromkeys(self.choices, 0.0)

    def share(self, text: str, probability: float) -> None:
        """Count a text beside the reply: the beginning of one score, of several, or of none."""
        begun = self.begun(text)
        if not begun:
            choice = self.choice(text)
            begun = [] if choice is None else [choice]
        for choice in begun:
            self.found[choice] += probability / len(begun)
        if len(begun) > 1:
            values = [float(choice) for choice in begun]
            mean = sum(values) / len(values)
            self.doubt += probability * max(max(values) - mean, mean - min(values))

    def begun(self, text: str) -> list[str]:
        """The choices that a text may become: those that it is, or the beginning of."""
        whole = self.grouped and text.isdigit()
        return [
            choice
            for choice in self.choices
            if text
            and any(
                form.startswith(text) and (not whole or form[len(text) :][:1] in ("", ".")) for form in _forms(choice)
            )
        ]

    def choice(self, text: str) -> str | None:
        """The choice whose number a text begins with."""
        number = self.number(text)
        return next((choice for choice in self.choices if number and float(number) == float(choice)), None)

    def number(self, text: str) -> str:
        """The number that a text begins with; "" where it begins with none."""
        found = _NUMBER.match(text)
        return found[0] if found else ""


def _forms(choice: str) -> tuple[str, ...]:
    """How a choice may be written: `4` also as `4.0`."""
    return (choice,) if "." in choice else (choice, f"{choice}.0")
