"""Names that always mean the same in a recipe: fields of a row, and alpaqual's own values of a row and of a turn."""

from __future__ import annotations

ROW_FIELDS = ("instruction", "input", "response")
"""The three texts of a row, as the paper names them (section 2.2)."""

CONVERSATION_FIELDS = frozenset({"messages", "completion", "history", "system", "tools"})
"""Fields of a source that make each of its rows a conversation."""

MAPPED_FIELDS = (*ROW_FIELDS, "messages", "tools")
"""Names that always mean what a source maps to them; any other name in a recipe means a column of the data."""

ROW_VALUES = ("id", "n", "source", "position", "turns")
"""alpaqual's own values of a row; recipes write `row.` before them."""

TURN_VALUES = ("text", "role", "number")
"""alpaqual's own values of a turn, for rules on turns; recipes write `turn.` before them."""
