"""Tools that conversations call; each result is computed."""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Use:
    """One use of a tool: what the user wants, the call, its result, and what the assistant says then."""

    wish: str
    name: str
    arguments: dict[str, Any]
    result: str
    answer: str


_FACTORS = {("km", "miles"): 0.621371, ("kg", "pounds"): 2.204623, ("litres", "US gallons"): 0.264172}


def _described(name: str, description: str, **kinds: str) -> dict[str, Any]:
    properties = {argument: {"type": kind} for argument, kind in kinds.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


DESCRIBED = {
    "calculate": _described("calculate", "Add, subtract or multiply two numbers.", a="integer", sign="string", b="integer"),
    "convert": _described("convert", "Convert a quantity to another unit.", value="number", unit="string", to="string"),
    "days_between": _described("days_between", "Days from one date to another.", start="string", end="string"),
    "count_words": _described("count_words", "Count the words of a text.", text="string"),
}  # fmt: skip


def calculate(draw: random.Random, text: str) -> Use:
    """Two numbers and a sign."""
    a, b, sign = draw.randint(12, 9_999), draw.randint(12, 999), draw.choice("+-*")
    result = str({"+": a + b, "-": a - b, "*": a * b}[sign])
    return Use(f"What is {a} {sign} {b}?", "calculate", {"a": a, "sign": sign, "b": b}, result, f"It is {result}.")


def convert(draw: random.Random, text: str) -> Use:
    """A quantity in another unit."""
    (unit, to), value = draw.choice(sorted(_FACTORS)), draw.randint(1, 500)
    result = f"{value * _FACTORS[unit, to]:.2f}"
    arguments = {"value": value, "unit": unit, "to": to}
    return Use(f"How many {to} are {value} {unit}?", "convert", arguments, result, f"{value} {unit} are {result} {to}.")


def days_between(draw: random.Random, text: str) -> Use:
    """Two dates."""
    start = datetime.date(2020, 1, 1) + datetime.timedelta(draw.randint(0, 1_500))
    end = start + datetime.timedelta(draw.randint(1, 900))
    result = str((end - start).days)
    arguments = {"start": start.isoformat(), "end": end.isoformat()}
    return Use(
        f"How many days is it from {start} to {end}?", "days_between", arguments, result, f"It is {result} days."
    )


def count_words(draw: random.Random, text: str) -> Use:
    """The words of a text of the data."""
    result = str(len(text.split()))
    return Use(
        f"How many words does this have?\n\n{text}", "count_words", {"text": text}, result, f"It has {result} words."
    )


USES = (calculate, convert, days_between, count_words)
