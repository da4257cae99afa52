"""Rows that would break a page if they could, and what its tables must say of them: counted here, from the rows that went in."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

SCRIPT = "</script><script>window.pwned=1</script>"
HOSTILE = [
    SCRIPT,
    "<img src=x onerror=window.pwned=1>",
    "**bold** [link](javascript:window.pwned=1) | cell |\n# head",
    "report\u202egpj.exe",
    "]]><svg onload=window.pwned=1>",
    "{{template}} {% raw %} ${window.pwned=1} <!-- <script>",
    "\"' onmouseover=window.pwned=1 x='\u2028window.pwned=1\u2029",
    "zero\u200bwidth and a bell\u0007",
]
AREAS = [SCRIPT, "<b>bold</b>", "quiet", "\u202ebackwards"]

RECIPE = """\
version: 1
name: hostile
title: "Rows that <script>window.pwned=1</script> do not like us"
sources:
  - path: rows.jsonl
    fields: {instruction: instruction, input: input, response: response}
rules:
  - {id: short, description: "<i>why</i>", column: response, check: {str_length: {min: 3}}, warn: 0, drop: true}
categories:
  - {column: area}
  - {category: even, where: "source.number % 2 = 0"}
graders:
  stepped: {column: stepped, scale: {min: 0, max: 5, step: 0.5}}
  fine: {column: fine, scale: {min: 0, max: 1}}
datasets:
  good: {threshold: {stepped: 3.5}, quotas: {even: {min_keep_rate: 0.9, floor: 2}}}
  finer: {threshold: {fine: 0.6251}}
  both: {threshold: {stepped: 3, fine: 0.5}}
  random: {sample: {like: finer}, seed: 3}
report: {examples: 5}
"""


@dataclass(frozen=True)
class Made:
    """A run, the rows that went in, and its report."""

    rows: list[dict[str, Any]]
    results: dict[str, Any]
    report: Path

    def eligible(self, category: str | None = None) -> list[dict[str, Any]]:
        return [
            row for row in self.rows if len(row["response"]) >= 3 and (category is None or category in categories(row))
        ]


def categories(row: dict[str, Any]) -> list[str]:
    return [row["area"], *(["even"] if row["number"] % 2 == 0 else [])]


def made_rows() -> list[dict[str, Any]]:
    return [
        {
            "instruction": f"{HOSTILE[number % len(HOSTILE)]} number {number}",
            "input": HOSTILE[(number + 3) % len(HOSTILE)] if number % 3 else "",
            "response": "no" if number % 17 == 5 else f"{HOSTILE[(number + 5) % len(HOSTILE)]} {number}",
            "area": AREAS[number % 7 % 4],
            "number": number,
            "stepped": None if number % 41 == 7 else (number * 7 % 11) / 2,
            "fine": (number * 37 % 1000) / 1000 + 0.0003,
        }
        for number in range(400)
    ]


def percentage(part: int, whole: int) -> str:
    share = Fraction(part, whole)
    if 0 < share < Fraction(1, 2000):
        return "<0.1%"
    if Fraction(1999, 2000) <= share < 1:
        return ">99.9%"
    return f"{int(share * 1000 + Fraction(1, 2)) / 10:.1f}%"


def points(difference: Fraction) -> str:
    tenths = int(abs(difference) * 1000 + Fraction(1, 2))
    return ("" if not tenths else "+" if difference > 0 else "−") + f"{tenths / 10:.1f}"


def expected(made: Made, grader: str, threshold: float, own: float, category: str | None) -> list[str]:
    """What the table must say of a category at a threshold: counted from the rows that went in."""
    within, everything = made.eligible(category), made.eligible()

    def kept(rows: list[dict[str, Any]], least: float) -> int:
        return sum(1 for row in rows if row[grader] is not None and row[grader] >= least)

    def cells(least: float) -> list[str]:
        gap = Fraction(kept(within, least), len(within)) - Fraction(kept(everything, least), len(everything))
        apart = "" if category is None else points(gap)
        return [f"{kept(within, least):,}", percentage(kept(within, least), len(within)), apart]

    moved = kept(within, threshold) - kept(within, own)
    change = "0" if not moved else f"{'+' if moved > 0 else '−'}{abs(moved):,}"
    return [f"{len(within):,}", *cells(own), *cells(threshold), change]


def shown_as(name: str) -> str:
    """A category as the page writes it."""
    return name.replace("\u202e", "U+202E")
