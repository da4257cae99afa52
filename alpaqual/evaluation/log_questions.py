"""Categories and skills of a file of questions, for the items of a log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_IDS = ("question_id", "id", "idx")
_TEXTS = ("text", "prompt", "instruction", "Instruction", "question", "turns")
_GROUPS = {"category": ("category", "Category", "motivation_app"), "skill": ("skill", "Skill")}
_SPACE = re.compile(r"\s+")


class Questions:
    """Groups of questions by their text, and by their id where the log has no text; `joined` counts items that were found."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.by_text: dict[str, dict[str, str]] = {}
        self.by_id: dict[str, dict[str, str]] = {}
        self.joined: set[str] = set()
        self.missing: set[str] = set()
        for record in records:
            if not isinstance(record, Mapping):
                continue
            groups = {kind: name for kind, keys in _GROUPS.items() if (name := _first(record, keys))}
            if text := text_of(_value(record, _TEXTS)):
                self.by_text.setdefault(_folded(text), groups)
            if item := _first(record, _IDS):
                self.by_id.setdefault(item, groups)

    def groups(self, line: Mapping[str, Any]) -> Mapping[str, str]:
        """The groups of a line's question; its own stay where the file has none."""
        item, text = str(line["id"]), _folded(line.get("question") or "")
        by_text = next(
            (self.by_text[each] for each in (text, _folded(line.get("instruction") or "")) if each in self.by_text),
            None,
        )
        found = by_text if by_text is not None else None if text else self.by_id.get(item.partition(" ")[0])
        (self.missing if found is None else self.joined).add(f"{line.get('test_set')} {item}")
        return found or {}


def text_of(value: Any) -> str:
    """The text of a question; of several turns, the first."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else ""
    if isinstance(value, Mapping):
        value = value.get("content") or value.get("value") or ""
    return value if isinstance(value, str) else ""


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> str:
    value = _value(record, keys)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _value(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((record[key] for key in keys if record.get(key) not in (None, "")), None)


def _folded(text: str) -> str:
    return _SPACE.sub(" ", text).strip().casefold()
