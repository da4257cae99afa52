"""Builds HTML from texts and numbers; no text of a row or a model can become markup.

Every text that is not our own markup goes through `text` or, in an attribute, through `plain` and the quoting of `tag`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

from alpaqual.values import State

_TALL = 16
"""A table of more rows scrolls under its own heading."""

_WITHOUT_END = {"input"}
"""Elements without content, which have no end tag."""


class Html(str):
    """Text that is markup already: made by `tag`, `text` and `join`, elsewhere from literals alone."""

    __slots__ = ()


Child = str | int | Html
"""The content of an element; every `str` that is not Html is escaped."""

NOTHING = Html("")


def _hides(character: str) -> bool:
    """Return whether a character is invisible, or changes the order of the characters around it."""
    if character in "\n\t\r" or unicodedata.category(character) == "Zs":
        return False
    return (
        not character.isprintable()
        or character in "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


def _hidden(value: str) -> list[str]:
    if value.isascii() and value.isprintable():
        return []
    return [character for character in set(value) if _hides(character)]


def text(value: str) -> Html:
    """Return a text as HTML, with every hidden character shown by its code."""
    escaped = escape(value, quote=False)
    if hidden := _hidden(value):
        escaped = escaped.translate({ord(c): f'<span class="code-point">U+{ord(c):04X}</span>' for c in hidden})
    return Html(escaped)


def plain(value: str) -> str:
    """Return a text with hidden characters shown by their code, for attributes and labels of charts."""
    hidden = _hidden(value)
    return value.translate({ord(c): f"⟨U+{ord(c):04X}⟩" for c in hidden}) if hidden else value


def tag(_element: str, *children: Child, **attributes: str | int | bool | None) -> Html:
    """Return an element. `class_` becomes class, `data_x` data-x; True is an attribute without a value, None and False leave it out."""
    opened = [_element]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        name = key.rstrip("_").replace("_", "-")
        opened.append(name if value is True else f'{name}="{escape(plain(str(value)))}"')
    start = f"<{' '.join(opened)}>"
    return Html(start if _element in _WITHOUT_END else f"{start}{join(children)}</{_element}>")


def join(children: Iterable[Child], between: str = "") -> Html:
    """Join elements and texts."""
    parts = (child if isinstance(child, Html) else text(str(child)) for child in children)
    return Html(text(between).join(parts))


def count(number: int | None) -> str:
    """Return a number of rows; the page's script formats numbers the same way."""
    return "–" if number is None else f"{number:,}"


def percent(part: int, whole: int) -> str:
    """Return a share to a tenth of a percent, computed from whole numbers so that the page's script gets the same text."""
    if not whole:
        return "–"
    tenths = (2000 * part + whole) // (2 * whole)
    if part and not tenths:
        return "<0.1%"
    if part < whole and tenths == 1000:
        return ">99.9%"
    return f"{tenths // 10}.{tenths % 10}%"


def difference(part: int, whole: int, all_part: int, all_whole: int) -> str:
    """Return a share minus that of all rows, in percentage points: "+2.5", "−0.3"."""
    if not whole or not all_whole:
        return "–"
    above, of = part * all_whole - all_part * whole, whole * all_whole
    tenths = (2000 * abs(above) + of) // (2 * of)
    sign = "" if not tenths else "+" if above > 0 else "−"
    return f"{sign}{tenths // 10}.{tenths % 10}"


def number(value: float | str | None) -> str:
    """Return a number of a recipe or a measurement with separators, at most six digits after rounding."""
    if value is None or isinstance(value, str):
        return value or "no value"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def badge(state: str) -> Html:
    """Return a state as a word; its colour repeats the word."""
    return tag("span", state.upper(), class_=f"state {State(state)}")


def shortfall_cell(shortfall: int) -> Child:
    """Return a shortfall in rows, marked where there is one."""
    return tag("strong", count(shortfall), class_="bad") if shortfall else "0"


def named(name: str) -> Html:
    """Return the name of a dataset, a grader or a category."""
    return tag("span", name, class_="name")


def note(sentence: str) -> Html:
    """Return a sentence that explains the table or chart beside it."""
    return tag("p", sentence, class_="note")


def quoted(words: str, element: str = "div") -> Html:
    """Return a text of a row or a model, quoted."""
    return tag(element, words, class_="quoted", dir="auto")


def folded(summary: Child, *content: Child, class_: str | None = None) -> Html:
    """Return content that opens from a summary line."""
    return tag("details", tag("summary", summary), *content, class_=class_)


def records(rows: Sequence[Mapping[str, Child]], *, words: Collection[str], label: str) -> Html:
    """Return a table with a column for each key; all rows have the same keys. Empty without rows."""
    if not rows:
        return NOTHING
    heads = list(rows[0])
    columns = [index for index, head in enumerate(heads) if head in words]
    return table(heads, [list(row.values()) for row in rows], words=columns, label=label)


def table(
    heads: Sequence[str],
    body: Iterable[Sequence[Child]],
    *,
    words: Sequence[int] = (0,),
    label: str = "",
    foot: bool = False,
) -> Html:
    """Return a table of numbers, except for the columns in `words`; the first cell of a row is its heading."""
    names = ["word" if index in words else None for index in range(len(heads))]
    head = tag("tr", *(tag("th", title, scope="col", class_=name) for title, name in zip(heads, names, strict=True)))
    rows = [_line(row, names) for row in body]
    first = tag("tbody", rows.pop(0), class_="whole") if foot and rows else ""
    return scrolling(tag("table", tag("thead", head), first, tag("tbody", *rows)), label, rows=len(rows))


def _line(row: Sequence[Child], names: Sequence[str | None]) -> Html:
    cells = (
        tag("td", cell, class_="zero" if cell == "0" else name) for cell, name in zip(row[1:], names[1:], strict=True)
    )
    return tag("tr", tag("th", row[0], scope="row", class_=names[0]), *cells)


def scrolling(content: Html, label: str, *, rows: int) -> Html:
    """Return a table in a box that scrolls, sideways on a narrow page and down where it is long; the keyboard can focus it."""
    tall = "scroll tall" if rows > _TALL else "scroll"
    return tag("div", content, class_=tall, tabindex=0, role="region", aria_label=label)
