"""The protocol of checks, and what one finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class FailingRows(NamedTuple):
    """The rows that fail a check, in SQL over the table `rows`: by `predicate`, or by `query` where it needs other rows."""

    predicate: str = ""
    """Boolean SQL, true for a failing row and never null."""
    query: str = ""
    """A query of the row numbers `n` that fail."""
    column: str = ""
    """What the report calls the checked column; the rule's own where left out."""
    value: str = ""
    """SQL of the value that the report shows; that of the rule's column where left out."""


class Check(Protocol):
    """Finds the rows that fail a rule: `alpaqual/checks/<name>.py` with a class `Plugin`, whose name is pandera's if it has one.

    A plug-in that inherits from this class takes the values and methods below where it has none of its own.
    """

    DESCRIPTION: str
    """What holds for a good row: one sentence for the reference page, the JSON Schema and editors."""
    ARGUMENT: Any
    """The argument's type, as msgspec reads it, with its limits."""
    SWITCH: bool = False
    """Whether `true` and `false` are arguments: `false` switches the check off, and a rule may name the check alone."""
    WHOLE_ROWS: bool = False
    """Whether it compares whole rows: the rule then names no column."""
    NUMBERS: bool = False
    """Whether it compares numbers: a column that holds none, or the texts of turns, is an error in the recipe."""
    PANDERA: str = ""
    """What pandera calls it: a check, or `nullable` or `unique` of a column. Empty where pandera has none."""
    PANDERA_ARGUMENT: str = "value"
    """The key of the argument in a pandera YAML schema; `value` is read as well."""

    def problem(self, argument: Any) -> str:
        """What is wrong with an argument beyond its type, or nothing."""
        return ""

    def failing(self, argument: Any, column: str) -> FailingRows:
        """The rows that fail; `column` is quoted, and empty where whole rows are compared. Nulls pass."""
        ...

    def from_pandera(self, settings: Any) -> Iterable[tuple[str, str, Any]]:
        """The checks that mean the same as this one in a pandera YAML schema: (end of the rule's id, check, argument).

        The check is "" where it is this one. Raises KeyError where `settings` lack a key, else TypeError or ValueError.
        """
        given = settings if isinstance(settings, Mapping) else {}
        keys = [key for key in ("value", self.PANDERA_ARGUMENT) if key in given]
        return [("", "", given[keys[0]] if keys else settings)]

    def to_pandera(self, argument: Any) -> Sequence[Any] | None:
        """The arguments of pandera's check that finds the same rows; None where the engine has to find them."""
        return None


class ConversationCheck(Check):
    """A check that reads the turns of conversations: a recipe with such a rule needs a source that has some."""
