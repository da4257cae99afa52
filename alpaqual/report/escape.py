"""Escapes text that people or models wrote for Markdown, XML and workflow commands.

Of Alpaca's 52,002 real rows 10,569 hold newlines, 361 HTML-like tags, 188 pipes, 34 `#123`, 32 images and 15 `@names`.
"""

from __future__ import annotations

import re
import unicodedata

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&@:$^=\"'/])")
_MARKS = re.compile(
    r"[\\`*\[\]<>|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|#(?=[0-9])|@(?=[A-Za-z0-9])|^[-+#=](?=\s|$)|^[0-9]+[.)](?=\s)"
)
_AUTOLINKED = re.compile(r"(?i)((?:https?|ftp|mailto|xmpp)(?=:)|www(?=\.)|gh(?=-[0-9]))")
_BREAK = "&#8203;"
"""A zero-width space: GitHub links names, numbers and addresses in the shown text, after entities have become characters."""
_SPACE = re.compile(r"\s+")
_ILLEGAL_XML = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF), "�")


def visible(text: str) -> str:
    """Return the text with control, direction and zero-width characters shown by their code."""
    return "".join(
        f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs") and c not in "\n\t\r" else c
        for c in text
    )


def shorten(text: str, most: int) -> str:
    """Return the text on one line of at most `most` characters."""
    line = _SPACE.sub(" ", text).strip()
    return line if len(line) <= most else line[: most - 1] + "…"


def markdown(text: str, most: int = 200) -> str:
    """Escape a text as one line of Markdown, for a cell of a table, a list or a paragraph.

    Every character with a meaning in Markdown, HTML or GitHub's links (@name, #12, URLs) becomes an entity or is broken up.
    """
    line = visible(shorten(text, most))
    line = _AUTOLINKED.sub(lambda match: f"{match[1][0]}{_HERE}{match[1][1:]}", line)
    return _MARKDOWN.sub(lambda match: _entity(match[1]), line).replace(_HERE, _BREAK)


def plain_markdown(text: str, most: int = 300) -> str:
    """Escape a sentence of alpaqual that quotes names, only where Markdown or GitHub would interpret it."""
    line = visible(shorten(text, most)).replace("&", "&amp;")
    line = _AUTOLINKED.sub(lambda match: f"{match[1][0]}{_HERE}{match[1][1:]}", line)
    return _MARKS.sub(lambda match: "".join(_entity(c) for c in match[0]), line).replace(_HERE, _BREAK)


_HERE = "\u200b"
"""A placeholder for _BREAK until the rest is escaped; those of the text itself are shown by their code by then."""


def _entity(character: str) -> str:
    return f"&#{ord(character)};{_BREAK if character in '@#' else ''}"


def code(text: str, most: int = 120) -> str:
    """Return the text as a code span, in which nothing is formatted or linked; safe in a cell of a table."""
    # GitHub reads two backslashes before a bar as one and a bar that ends the cell.
    line = visible(shorten(text, most)).replace("\\|", "\\\u200b|").replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if len(fence) > 1 or line.endswith("\\") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def xml(text: str) -> str:
    """Replace characters that XML 1.0 forbids; the XML writer quotes the rest."""
    return text.translate(_ILLEGAL_XML)


def command_message(text: str) -> str:
    """Escape the message of a workflow command, so that it cannot end its line and start another command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def command_property(text: str) -> str:
    """Escape a property of a workflow command."""
    return command_message(text).replace(":", "%3A").replace(",", "%2C")
