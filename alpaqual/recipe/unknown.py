"""The message for a name that no plug-in has."""

from __future__ import annotations

from alpaqual.recipe.schema_errors import suggest
from alpaqual.registry import names


def unknown_plugin(kind: str, word: str, name: str) -> str:
    """The message, with the name that is meant or else all names; `word` is the reader's word for the kind."""
    known = names(kind)
    hint = suggest(name, known) or f"; there are: {', '.join(known)}"
    return f"there is no {word} '{name}'{hint}"
