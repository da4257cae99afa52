"""Ledger keys and fingerprints of graders as the first version made them: replies that were paid for stay found."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from alpaqual.plan.prompts import grader_plugin, prompt_settings
from alpaqual.plan.stage import fingerprint
from alpaqual.recipe.graders import Grader
from alpaqual.store.ledger import request_key
from alpaqual.values import Grade, Row

ROW = Row("0" * 16, "Name [min] <|im_start|> primes.", "", "2, 3\n[score:x] [levels]", "User: a\n\nAssistant: b")
TEMPLATE = "Rate [dimension] [min]-[max].\n---\n[Instruction]|[input]|[RESPONSE]|[levels]|[scores]|[conversation]"
EXAMPLE = {"instruction": "i", "input": "x", "response": "r", "score": 4.5, "rationale": "why"}
MODEL = "openai/gpt-4o-mini"


def keys(settings: dict[str, Any], template: str | None) -> tuple[str, str]:
    """The start of a hash over a row's request and its follow-ups, and over the settings of the stage."""
    grader = msgspec.convert({"model": MODEL, **settings}, Grader)
    plugin = grader_plugin(grader, template, MODEL)
    first = plugin.request(ROW)
    reasons = [("no number", 1), ("no number", 2), ("no number", 3), ("cut", 1), ("refusal", 1)]
    asked = [first, *(plugin.follow_up(first, Grade(None, reason), attempt) for reason, attempt in reasons)]
    found = [None if request is None else request_key(request) for request in asked]
    return fingerprint(found)[:16], fingerprint(prompt_settings(grader, template, MODEL))[:16]


SETTINGS: list[tuple[str, dict[str, Any], str | None]] = [
    ("paper", {}, None),
    ("steps", {"scale": {"min": 1, "max": 10, "step": 0.5}, "dimension": "helpfulness", "temperature": None}, None),
    ("template", {"max_tokens": 7, "temperature": 0.5}, TEMPLATE),
    ("structured", {"structured": True, "scale": {"min": 0, "max": 5, "step": 0.5}}, None),
    ("unstructured", {"structured": False}, None),
    ("rationale", {"structured": True, "keep_rationale": True}, None),
    ("examples", {"examples": [EXAMPLE, {"instruction": "j", "response": "s", "score": 0}]}, None),
    ("structured examples", {"examples": [EXAMPLE], "structured": True, "keep_rationale": True}, TEMPLATE),
    ("last line", {"reply": "last_line"}, None),
    ("json", {"reply": "json"}, None),
    ("pattern", {"reply": "^Verdict: (.+)$"}, None),
    ("repeats", {"health": {"repeats": {"rows": 7}}}, None),
    ("turns", {"each": "turn"}, TEMPLATE),
    ("cascade", {"cascade": {"first": "cheap", "threshold": 4.5, "band": 0.5}}, None),
]


@pytest.mark.parametrize(("called", "settings", "template"), SETTINGS, ids=[each[0] for each in SETTINGS])
def test_keys_and_settings_stay(called: str, settings: dict[str, Any], template: str | None) -> None:
    assert keys(settings, template) == FIRST[called]


FIRST = {
    "paper": ("52b8a8d17487d907", "088323e7bd781822"),
    "steps": ("79e724ee723fcdaa", "c6c65b377a7cbd9a"),
    "template": ("48251da5e917add3", "0f1b4eea858c9ee9"),
    "structured": ("353b53104fab9aeb", "dff361b80ad133b2"),
    "unstructured": ("52b8a8d17487d907", "088323e7bd781822"),
    "rationale": ("b4e25ac14fc6d831", "046c60deb2ad1179"),
    "examples": ("f10687dad9232692", "de7415ac6ba4bb15"),
    "structured examples": ("d75aafc59793ae80", "137a25b38bd44c1f"),
    "last line": ("df71ad25323520cb", "5d0d35de73e3c721"),
    "json": ("21d149a414927bb3", "29b7c4c6405905c0"),
    "pattern": ("ce3227d7a104c61f", "cac97deb4532d10a"),
    "repeats": ("52b8a8d17487d907", "1c8ef853c98fdd34"),
    "turns": ("7557c9c10eb09cb1", "46fee7f6ffe66d80"),
    "cascade": ("52b8a8d17487d907", "1ce004d3275c5bec"),
}
"""By name: what the first version had."""
