"""Records of published logs of judges: what makes lines of them, and the values that several forms have."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alpaqual.errors import Problem, RecipeError
from alpaqual.evaluation.log_questions import text_of
from alpaqual.values import Winner

Record = Mapping[str, Any]
Line = dict[str, Any]
LETTERS: Mapping[str, str] = {"first": "[[A]]", "second": "[[B]]", "tie": "[[C]]"}
"""The shortest reply that says the same, for logs without the judge's text."""
PROMPTS = ("text", "prompt", "instruction", "Instruction", "question", "conversations")


class LeftOut(ValueError):  # noqa: N818 - a record that says nothing about a pair, with the reason
    """A record becomes no line; the text says why."""


@dataclass(frozen=True)
class LogFile:
    """A file of a log. `meta` has what is beside the records; `broken` counts what could not be read, by reason."""

    name: str
    records: Sequence[Any]
    meta: Record = field(default_factory=dict)
    broken: Mapping[str, int] = field(default_factory=dict)


class Converter:
    """Makes lines of the records of one file; `notes` say what the log cannot tell."""

    test_set = ""

    def __init__(self, file: LogFile, models: tuple[str, ...], first: str) -> None:
        self.file = file
        self.notes: list[str] = []
        self.written: Counter[str] = Counter()
        """Replies that the log has no text of, by what they were written from."""
        self.begin(models, first)

    def begin(self, models: tuple[str, ...], first: str) -> None:
        """Find the models of the file. Raises RecipeError where they are not clear."""

    def lines(self, record: Record, number: int) -> Iterator[Line]:
        """The lines of the record with this number, from 1. Raises LeftOut with the reason."""
        raise NotImplementedError

    def later_notes(self) -> Iterator[str]:
        """What was found while the records were read."""
        for source, count in self.written.items():
            yield f"{self.file.name}: {count:,} replies have no text in the log; they are written from its {source}"

    def wrong(self, message: str) -> RecipeError:
        """The error about the file as a whole."""
        return RecipeError([Problem(self.file.name, 0, 0, message)])

    def reply(self, text: Any, scores: Any) -> str | None:
        """The judge's text; where the log has only two scores, these; None where it has neither."""
        if isinstance(text, str) and text.strip():
            return text
        pair = scores_of(scores)
        if pair is None:
            return text if isinstance(text, str) else None
        self.written["scores"] += 1
        return f"{pair[0]:g} {pair[1]:g}"


@dataclass(frozen=True)
class Form:
    """A form of a log: its name for people, the keys that its records have, and what makes lines of them."""

    title: str
    keys: frozenset[str]
    start: type[Converter]
    test_set: str = ""

    def fits(self, file: LogFile, record: Record) -> bool:
        """Whether a file has this form, by its first record."""
        return self.keys <= record.keys()


def scores_of(value: Any) -> tuple[float, float] | None:
    """Two scores of a log, a list or its text; -1 is how some programs write that none could be read."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if not isinstance(value, Sequence) or len(value) != 2 or not all(_is_number(each) for each in value):
        return None
    return None if -1 in value else (float(value[0]), float(value[1]))


def better_of(scores: Any) -> Winner | None:
    """The side with the higher score, as the log has it; None where it has none."""
    pair = scores_of(scores)
    if pair is None:
        return None
    return "tie" if pair[0] == pair[1] else "first" if pair[0] > pair[1] else "second"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def question_of(record: Record) -> str:
    """The question of a record, under one of its usual keys."""
    return next((text for key in PROMPTS if (text := text_of(record.get(key)))), "")


def judge_of(value: Any) -> str:
    """The judge's name; FastChat writes it with the name of its prompt."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else ""
    return "" if value is None or isinstance(value, bool) else str(value)


def item_of(record: Record, number: int) -> str:
    """The id of a record's question, or the record's number."""
    for key in ("question_id", "id", "idx"):
        value = record.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return str(number)
