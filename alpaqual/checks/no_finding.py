"""The check `no_finding`."""

from __future__ import annotations

from typing import Any, Literal

from alpaqual import sql
from alpaqual.contracts import ConversationCheck, FailingRows
from alpaqual.conversation.finding_names import FINDINGS
from alpaqual.quote import literal


class Plugin(ConversationCheck):
    """Finds conversations that have something which a model should not learn from."""

    DESCRIPTION = "The conversation does not have this defect of its turns, tool calls or weights."
    ARGUMENT: Any = Literal[tuple(FINDINGS)]
    WHOLE_ROWS = True

    def failing(self, argument: str, column: str) -> FailingRows:
        """Rows with the finding."""
        found = sql.or_false(f"LIST_CONTAINS(findings, {literal(argument)})")
        return FailingRows(found, column="messages", value="messages")
