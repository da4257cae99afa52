"""The names of the findings of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FINDINGS: Final[Mapping[str, str]] = {
    "several_systems": "more than one system or developer turn",
    "late_system": "a system or developer turn after another turn",
    "result_without_call": "a tool result that no tool call before it asked for",
    "call_without_result": "a tool call that the next turns do not answer, other than in the last turn",
    "empty_response": "the last assistant turn has neither text nor a tool call",
    "empty_turn": "a turn before the last assistant turn has neither text nor a tool call",
    "other_end": "the last turn is not the assistant's",
    "repeated_role": "two user turns or two assistant turns in succession",
    "no_user": "no user turn",
    "nothing_learned": "no assistant turn has a weight above 0",
    "unknown_tool": "a call of a tool that the row's tools lack",
}
"""Each finding by name, with what it means."""
