"""A conversation with a tool call and its result."""

from __future__ import annotations

from typing import Any

TOOL = {"type": "function", "function": {"name": "convert", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "t", "type": "function", "function": {"name": "convert", "arguments": '{"km": 2}'}}
CALLS: dict[str, Any] = {
    "id": "calls",
    "messages": [
        {"role": "user", "content": "2 km in miles?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "t", "content": "1.24"},
        {"role": "assistant", "content": "1.24 miles."},
    ],
    "tools": [TOOL],
}
