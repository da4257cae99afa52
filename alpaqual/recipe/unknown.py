"""Messages for a name that no plug-in has."""

from __future__ import annotations

from alpaqual.recipe.schema_errors import suggest
from alpaqual.registry import names


def alternatives(kind: str, name: str) -> str:
    """A suggestion of a plug-in with a similar name, or all names."""
    return suggest(name, names(kind)) or f"; there are: {', '.join(names(kind))}"


def unknown_plugin(kind: str, word: str, name: str) -> str:
    """The message; `word` is the reader's word for the kind."""
    return f"there is no {word} '{name}'{alternatives(kind, name)}"
