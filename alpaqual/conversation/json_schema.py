"""The JSON Schema of a conversation in the normal form."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}
_CALL: Final = {
    "type": "object",
    "required": ["id", "type", "function"],
    "properties": {
        "id": _TEXT,
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "required": ["name", "arguments"],
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "arguments": {"type": "string", "description": "A JSON text of an object."},
            },
        },
    },
}
_TURN: Final = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": {"type": ["string", "null"], "description": "Null only beside tool_calls."},
        "tool_calls": {"type": "array", "minItems": 1, "items": _CALL},
        "tool_call_id": {"type": "string", "description": "The call that this turn of a tool answers."},
        "name": {"type": "string", "description": "Name of the speaker, or of the tool that answers."},
        "weight": {"type": "number", "minimum": 0, "description": "0: no loss on this turn."},
    },
    "if": {"required": ["tool_calls"]},
    "then": {"properties": {"role": {"const": "assistant"}}},
    "else": {"properties": {"content": _TEXT}},
}
SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A conversation of alpaqual",
    "type": "object",
    "required": ["messages"],
    "properties": {
        "messages": {
            "type": "array",
            "items": _TURN,
            "contains": {"properties": {"role": {"const": "assistant"}}},
            "description": "The turns in order; keys that are not named here stay as they came.",
        },
        "tools": {"type": "array", "minItems": 1, "items": {"type": "object"}, "description": "The tools to call."},
    },
    "additionalProperties": False,
}
"""JSON Schema (2020-12) of {messages, tools}."""
