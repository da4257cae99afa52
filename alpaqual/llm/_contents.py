"""Reads parts of a provider's response: a content in parts, why it ended."""

from __future__ import annotations

from collections.abc import Mapping


def text_of(content: object) -> object:
    """The text of a content: itself, or its parts of the type text joined. Parts of thinking are left out."""
    if not isinstance(content, list):
        return content
    texts = [part if isinstance(part, str) else _text_of_part(part) for part in content]
    return "".join(text for text in texts if isinstance(text, str))


def _text_of_part(part: object) -> object:
    if not isinstance(part, Mapping) or part.get("type", "text") not in ("text", "output_text"):
        return None
    return part.get("text")


def reason_of(answer: object, name: str) -> str | None:
    """Why a reply ended, in the provider's word; None where it does not say."""
    found = answer.get(name) if isinstance(answer, Mapping) else None
    return found if isinstance(found, str) and found else None
