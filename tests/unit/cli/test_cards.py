"""Rows as cards: within the width, with all of the text, and nothing of it read as a line of alpaqual's or of a workflow."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from alpaqual.cli.cards import cards
from alpaqual.report.escape import visible

TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(" \n\t:#[漢🙂é")), max_size=1500)


def row(text: str, dataset: str = "quality", **changes: Any) -> dict[str, Any]:
    return {
        "id": "0123456789abcdef",
        "dataset": dataset,
        "fate": "below_threshold",
        "reasons": ["accuracy below 4.5"],
        "scores": {"accuracy": 3.5, "style": None},
        "categories": ["coding"],
        "source": "data.jsonl",
        "instruction": text,
        "input": "",
        "response": "yes",
        **changes,
    }


def bare(text: str) -> str:
    """A text without spaces, and with hidden characters as a card shows them."""
    shown = re.sub(r"[\r\u2028\u2029]", lambda match: f"⟨U+{ord(match[0]):04X}⟩", visible(text.replace("\r\n", "\n")))
    return re.sub(r"[ \n\t]", "", shown)


@given(text=TEXTS, width=st.integers(40, 200))
@example(text="::error::x\n##[group]y\n   ::warning::", width=40)
@example(text="x" * 1300, width=40)
@example(text="漢" * 300, width=41)
@example(text=" " * 90 + "indented", width=40)
@example(text="a\rrow ffffffffffffffff\u2028row 1\x1b[31m\u202e", width=80)
def test_a_card_has_the_width_and_all_of_the_text(text: str, width: int) -> None:
    (card,) = cards([row(text, reasons=[text])], width)
    lines = card.split("\n")
    assert max(map(cell_len, lines)) <= width
    assert [line for line in lines if line.startswith("row ")] == ["row 0123456789abcdef"]
    assert not any(re.match(r" *(::|##\[)", line) for line in lines)
    assert visible(card) == card
    shown = "".join(line.removeprefix("  │").removeprefix(" ") for line in lines if line.startswith("  │"))
    assert bare(shown).removesuffix("yes") == bare(text[:1200])
    marks = re.findall(r"… ([\d,]+) more characters: --format json\s+shows them", card)
    assert marks == ([f"{len(text) - 1200:,}"] if len(text) > 1200 else [])


def test_a_card() -> None:
    found = [
        row("Sum a list:\n    total", input="[1, 2]"),
        row("Sum a list:\n    total", "full", input="[1, 2]", fate="kept", reasons=[]),
    ]
    assert list(cards(found, 40)) == [
        """\
row 0123456789abcdef
  quality: below_threshold: accuracy
    below 4.5
  full: kept
  scores: accuracy 3.5, style no score
  categories: coding
  instruction
  │ Sum a list:
  │     total
  input
  │ [1, 2]
  response
  │ yes
"""
    ]


def test_equal_rows_have_a_card_each() -> None:
    assert len(list(cards([row("a"), row("a")], 80))) == 2


def test_an_empty_text_is_said_to_be_empty() -> None:
    (card,) = cards([row("", response=None)], 80)
    assert "  instruction: empty\n  response: empty\n" in card
