"""Texts and numbers as markup: what is escaped, what is shown by its code, how shares are rounded."""

from __future__ import annotations

import pytest

from alpaqual.report.markup import difference, join, percent, plain, tag, text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<b>&</b>", "&lt;b&gt;&amp;&lt;/b&gt;"),
        ("a\u202eb", 'a<span class="code-point">U+202E</span>b'),
        ("tab\tand\nline", "tab\tand\nline"),
        ("no\u00a0break", "no\u00a0break"),
        ("فارسی 漢字 é", "فارسی 漢字 é"),
        ("\U000e0041", '<span class="code-point">U+E0041</span>'),
    ],
)
def test_text_is_escaped_and_invisible_characters_are_shown(given: str, shown: str) -> None:
    assert text(given) == shown


def test_attributes_cannot_be_left() -> None:
    assert tag("a", "x", title="\"'><b\u200b") == '<a title="&quot;&#x27;&gt;&lt;b⟨U+200B⟩">x</a>'
    assert plain("as it is") == "as it is"


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "–"),
        (0, 9, "0.0%"),
        (1, 8, "12.5%"),
        (1, 16, "6.3%"),
        (1, 99_999, "<0.1%"),
        (99_998, 99_999, ">99.9%"),
        (7, 7, "100.0%"),
    ],
)
def test_percent(part: int, whole: int, shown: str) -> None:
    assert percent(part, whole) == shown


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [((1, 2, 1, 4), "+25.0"), ((7, 564, 2022, 52002), "−2.6"), ((1, 3, 1, 3), "0.0"), ((0, 0, 1, 2), "–")],
)
def test_difference(numbers: tuple[int, int, int, int], shown: str) -> None:
    assert difference(*numbers) == shown


def test_an_element_that_holds_nothing_has_no_end_tag() -> None:
    assert tag("input", type="range", disabled=True, hidden=False) == '<input type="range" disabled>'


def test_what_joins_texts_is_escaped_like_them() -> None:
    assert join(["<", tag("b", "&")], " & ") == "&lt; &amp; <b>&amp;</b>"
