"""Text from data stays text: in Markdown, in code spans, in XML, in workflow commands and on a terminal."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from tiers import NIGHTLY, examples

from alpaqual.report.escape import (
    code,
    command_message,
    command_property,
    markdown,
    plain_markdown,
    shorten,
    visible,
    xml,
)

HOSTILE = [
    "a | b || c \\| d \\\\| e",
    "line\nbreak\r\nand\ttab",
    "`code` ``two`` ```three``` `",
    "\\`\\`\\",
    "<b>bold</b> <script>alert(1)</script> <img src=x onerror=alert(1)>",
    "</details></summary></sub> <!-- comment --> -->",
    "@name me@example.com @org/team \\@name &#64;name &commat;name",
    "#12 owner/repo#12 GH-12 gh-7 &#35;12",
    "https://example.com http://x www.example.com ftp://x mailto:a@b.c HTTPS://X WWW.X.Y xmpp:a@b.c",
    "![image](http://x/y.png) [link](javascript:alert(1)) <http://x> [ref][1] [1]: http://x",
    "# heading",
    "=====",
    "-----",
    "- item",
    "+ item",
    "1. item",
    "1) item",
    "> quote",
    "    indented",
    "```\nfenced\n```",
    "| a | b |\n|---|---|\n| c | d |",
    "*a* **b** _c_ __d__ ~~e~~ ~f~ $x$ $$y$$",
    "snake_case and __dunder__ and a*b*c",
    "bidi \u202e\u2066 zero\u200bwidth \ufeff nul \x00 bell \x07 esc \x1b[31m del \x7f c1 \x9b",
    "\ud800 lone \udfff",
    "&amp; &lt;b&gt; &#60;i&#62; &quot; &#x3c;u&#x3e;",
    "::error file=x::forged",
    "%0A::error::forged",
    "",
    " ",
    "\u2028\u2029\x85\x0b\x0c",
    "x" * 5000,
    "|" * 300,
    "`" * 300,
    "\\" * 300,
]  # fmt: skip
GFM = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
LINKED = re.compile(
    r"(?<!\w)@[A-Za-z0-9]|\w@[A-Za-z0-9]|#[0-9]|\bgh-[0-9]|(?:https?|ftp)://\w|\bwww\.\w|\b(?:mailto|xmpp):\w",
    re.IGNORECASE,
)
"""What GitHub links or notifies in the text that is shown, wherever it came from, but for code."""
TEXT = st.text(st.one_of(st.characters(), st.sampled_from("|\\`<>&@#*_[]()!-+=~:$/\n\r 1aw")), max_size=60)
TABLE = "| head | head | head |\n| :-- | --: | --: |\n"
ESCAPERS: dict[str, Callable[[str], str]] = {"markdown": markdown, "plain_markdown": plain_markdown, "code": code}


def flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from flat(token.children or [])


def github_cells(line: str) -> int:
    """Cells of a table's row as GitHub counts them: a backslash takes the sign after it, a second backslash too."""
    bars = re.findall(r"\\[!-/:-@\[-`{-~]|(\|)", line.strip())
    return bars.count("|") - 1


def assert_only_text(text: str, cell: str) -> None:
    """In a table, in a list and in a paragraph the escaped text is text or code, and nothing that GitHub links."""
    row = f"| {cell} | {cell} | end |"
    assert github_cells(row) == 3
    for place, allowed in (
        (TABLE + row + "\n", {"table", "thead", "tbody", "tr", "th", "td"}),
        (f"- words {cell}\n- {cell}\n", {"bullet_list", "list_item", "paragraph"}),
        (f"Said {cell} and no more.\n", {"paragraph"}),
    ):
        shown: list[str] = []
        for token in flat(GFM.parse(place)):
            kind = token.type.removesuffix("_open").removesuffix("_close")
            assert kind in allowed | {"inline", "text", "text_special", "code_inline"}, (text, kind)
            if token.type in ("text", "text_special"):
                shown.append(token.content)
        assert not LINKED.search("".join(shown)), (text, "".join(shown))
        if place.startswith(TABLE):
            tokens = GFM.parse(place)
            assert sum(token.type == "td_open" for token in tokens) == 3
    assert "\n" not in cell
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html.unescape(cell))


@pytest.mark.parametrize("escaper", ESCAPERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str, escaper: str) -> None:
    if escaper == "plain_markdown":
        # Our own sentences: hostile text is inside, never at the start of a line.
        text = f"rule {text}: fails"
    assert_only_text(text, ESCAPERS[escaper](text))


@settings(max_examples=examples(300), deadline=None)
@given(text=TEXT)
@example("\\|")
@example("wwww.x")
@example("hhttp://x")
@example("\\\\|<b>")
def test_any_text_stays_text(text: str) -> None:
    assert_only_text(text, markdown(text))
    assert_only_text(text, code(text))
    assert_only_text(text, plain_markdown(f"rule {text}: fails"))


@settings(max_examples=examples(200), deadline=None)
@given(text=TEXT)
def test_markdown_shows_the_text_unchanged(text: str) -> None:
    """Nothing is lost: what a reader sees is the text on one line, its invisible characters by their codes."""
    inline = GFM.parseInline(f"x{markdown(text, 10_000)}x")[0]
    shown = "".join(token.content for token in inline.children or [])
    assert shown.replace("\u200b", "") == f"x{visible(shorten(text, 10_000))}x"
    spans = [token for token in GFM.parseInline(code(text, 10_000))[0].children or [] if token.type == "code_inline"]
    assert len(spans) == 1
    assert spans[0].content.replace("\\|", "|").replace("\u200b", "").strip() == visible(shorten(text, 10_000)).strip()


def test_long_texts_are_cut_with_a_sign() -> None:
    assert shorten("a" * 10, 5) == "aaaa…"
    assert shorten(" a \n\t b ", 5) == "a b"
    assert len(markdown("a" * 1000)) == 200
    assert len(code("a" * 1000)) == 122


def test_what_is_invisible_is_shown_by_its_code() -> None:
    assert visible("a\u202eb\x00\u200b\ufeff\ud800") == "a⟨U+202E⟩b⟨U+0000⟩⟨U+200B⟩⟨U+FEFF⟩⟨U+D800⟩"
    assert visible("tab\tline\nemoji 🎉 é") == "tab\tline\nemoji 🎉 é"


@settings(max_examples=examples(200), deadline=None)
@given(text=st.text(max_size=60))
@example("".join(HOSTILE))
def test_xml_takes_any_text(text: str) -> None:
    element = ElementTree.Element("x", {"a": xml(text)})
    element.text = xml(text)
    again = ElementTree.fromstring(ElementTree.tostring(element, encoding="unicode"))
    assert (again.text or "").replace("\r", "\n") == xml(text).replace("\r\n", "\n").replace("\r", "\n")


def commands(text: str) -> list[str]:
    """The lines that GitHub's runner would take for commands."""
    return [line for line in re.split(r"\r\n|\r|\n", text) if line.lstrip().startswith(("::", "##["))]


@settings(max_examples=examples(200), deadline=None)
@given(text=st.text(st.one_of(st.characters(), st.sampled_from("\r\n:,%#[]")), max_size=40))
@example("x\n::error::forged\r\n##[error]forged")
@example("%0A::error::forged")
def test_no_text_forges_a_workflow_command(text: str) -> None:
    line = f"::error file={command_property(text)},line=1::{command_message(text)}"
    assert commands(line) == [line]
    _, properties, message = line.split("::", 2)
    assert properties.count(",") == 1

    def decoded(part: str) -> str:
        return part.replace("%0D", "\r").replace("%0A", "\n").replace("%3A", ":").replace("%2C", ",").replace("%25", "%")  # fmt: skip

    assert decoded(message) == text or ":" in text or "," in text or "%" in text
    assert decoded(properties).startswith(f"error file={text}") or "%" in text


@pytest.mark.slow
@pytest.mark.paper
@pytest.mark.skipif(not os.environ.get("ALPAQUAL_DATA"), reason="needs ALPAQUAL_DATA, the folder of the real data")
def test_every_nasty_row_of_alpaca_stays_text() -> None:
    import polars as pl

    frame = pl.read_parquet(Path(os.environ["ALPAQUAL_DATA"]) / "alpaca_52k.parquet")
    columns = pl.col("instruction", "input", "output")
    nasty = frame.filter(pl.any_horizontal(columns.str.contains(r"[\n<|@#`\\]|!\[|://")))
    assert nasty.filter(pl.any_horizontal(columns.str.contains("\n"))).height >= 10_569
    # A report shows the start of a text; of a text with signs that Markdown or GitHub read, every part is tried as a start.
    parts: list[str] = []
    for text in (text for row in nasty.select("instruction", "input", "output").rows() for text in row):
        whole_text = re.search(r"[<|@#`\\&~$]|!\[|://|www", text) is not None
        parts += [text[i : i + 200] for i in range(0, len(text) if whole_text else min(len(text), 1), 200)]
    assert sum("\n" in part for part in parts) >= 10_000
    parts = [part for part in parts if re.search(r"[^\w ,.'’?!-]", part)]
    if not NIGHTLY:
        parts = parts[::5]
    cells = [(markdown(part), code(part, 200), plain_markdown(f"rule {part}: fails")) for part in parts]
    lines = [f"| {a} | {b} | {c} |" for a, b, c in cells]
    assert {github_cells(line) for line in lines} == {3}
    for start in range(0, len(lines), 2_000):
        chunk = lines[start : start + 2_000]
        tokens = GFM.parse(TABLE + "\n".join(chunk) + "\n")
        assert sum(token.type == "td_open" for token in tokens) == 3 * len(chunk)
        for token in flat(tokens):
            kind = token.type.removesuffix("_open").removesuffix("_close")
            assert kind in {"table", "thead", "tbody", "tr", "th", "td", "inline", "text", "text_special", "code_inline"}  # fmt: skip
            if token.type == "inline":
                shown = "".join(c.content for c in token.children or [] if c.type in ("text", "text_special"))
                assert not LINKED.search(shown), shown
