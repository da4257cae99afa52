"""What graders and judges read alike in a model's reply: thinking before the answer, refusals, replies that were cut."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import replace

from alpaqual.values import Request

CUT = "cut"
"""Reason: the reply reached its longest length, and what it says may be incomplete."""
EMPTY = "empty reply"
REFUSAL = "refusal"
UNFINISHED_THINKING = "unfinished thinking"
FINAL_REASONS = (REFUSAL, UNFINISHED_THINKING)
"""Another request costs as much and gives the same."""
MORE_TOKENS = 512
"""Longest reply to the request after one that was cut: this many tokens, or four times as many as before."""
OPEN_ENDS = frozenset(".,/-–(:٫．，")
"""Characters at the end of a reply that was cut, behind which a number may have more digits."""
FENCE = re.compile(r"\A```[A-Za-z]*\s*\n(.*?)\n?\s*(?:```|\Z)", re.DOTALL)

_CUTS = frozenset(("length", "max_tokens", "max_output_tokens", "model_length", "incomplete"))
_TAGS = "think|thinking|thought|reasoning|seed:think"
_THINKING = re.compile(
    rf"\A\s*(?:<({_TAGS})>.*?</\1>|\[THINK\].*?\[/THINK\]|◁think▷.*?◁/think▷"
    r"|<\|channel\|>analysis<\|message\|>.*?<\|channel\|>final<\|message\|>)",
    re.DOTALL | re.IGNORECASE,
)
_OPEN_THINKING = re.compile(
    rf"\A\s*(?:<(?:{_TAGS})>|\[THINK\]|◁think▷|<\|channel\|>analysis<\|message\|>)", re.IGNORECASE
)
_OPENINGS = ("<", "[", "◁")
END_OF_THINKING = re.compile(rf"(?:\A|\n)[ \t]*</(?:{_TAGS})>", re.IGNORECASE)
"""A line that ends thinking whose beginning is in the prompt's template, not in the reply."""
_REFUSAL = re.compile(
    r"\b(?:I(?:['’]m| am) (?:sorry|unable|not able)|I (?:can(?:no|['’])t|must decline)|as an AI\b|unable to (?:rate|provide|assess|score))"
    r"|\bI (?:won['’]t|will not) (?:be able to )?(?:rate|grade|score|judge|provide|give|assess|evaluate|help|assist|answer|comply|do)\b"
    r"|\A(?:对不起|抱歉|很抱歉|對不起|申し訳|죄송합니다|Lo siento|Je suis désolé|Es tut mir leid|Desculpe|К сожалению)",
    re.IGNORECASE,
)
_END_TOKEN = re.compile(r"(?:\s*(?:<\|[\w-]{1,30}\|>|</s>|<end_of_turn>))+\s*\Z")
_FRACTION = re.compile(r"([0-9])\s?([½¼¾])")
_FRACTIONS = {"½": ".5", "¼": ".25", "¾": ".75"}


def is_cut(finish_reason: str | None) -> bool:
    """Whether a provider's reason for the end of a reply is its length."""
    return finish_reason is not None and finish_reason.casefold() in _CUTS


def is_refusal(text: str) -> bool:
    """Whether a reply without a score or verdict begins as a refusal."""
    return _REFUSAL.search(text[:300]) is not None


def without_thinking(raw: str) -> str | None:
    """The reply without the thinking that it begins with; None where the thinking has no end."""
    text = raw.strip().lstrip("\ufeff\u200b")
    if text[:1] in _OPENINGS:
        text = _THINKING.sub("", text, count=1).strip()
        if _OPEN_THINKING.match(text):
            return None
    return text


def without_end_token(text: str) -> str:
    """The text without the tokens that end a turn, such as `<|im_end|>`, and without spaces around it."""
    return _END_TOKEN.sub("", text).strip() if "<" in text else text.strip()


def longer(request: Request) -> Request | None:
    """The request for a longer reply; None where it sets no limit."""
    limit = request.parameters.get("max_tokens")
    if limit is None:
        return None
    return replace(request, parameters={**request.parameters, "max_tokens": max(MORE_TOKENS, 4 * limit)})


def with_demand(request: Request, demand: str) -> Request:
    """The request with one more sentence at its end."""
    role, text = request.messages[-1]
    return replace(request, messages=(*request.messages[:-1], (role, f"{text}\n\n{demand}")))


def _plain_characters() -> Iterator[tuple[int, str | None]]:
    """Full-width forms and digits of every script as ASCII; marks without a width as nothing."""
    for code in range(0xFF01, 0xFF5F):
        yield code, chr(code - 0xFEE0)
    for code in range(0x80, sys.maxunicode + 1):
        if unicodedata.category(chr(code)) == "Nd":
            yield code, str(unicodedata.digit(chr(code)))
    yield from (
        (code, None) for code in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF)
    )
    yield from (
        (ord(character), plain) for character, plain in {"−": "-", "٫": ".", "⁄": "/", "∕": "/", "،": ","}.items()
    )


_PLAIN: dict[int, str | None] = {}


def plain(text: str) -> str:
    """The text with full-width forms, and the digits of every script, as ASCII."""
    if text.isascii():
        return text
    if not _PLAIN:
        _PLAIN.update(_plain_characters())
    text = text.translate(_PLAIN)
    return _FRACTION.sub(lambda found: found[1] + _FRACTIONS[found[2]], text)
