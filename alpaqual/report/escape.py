"""Text that people or models wrote -> text that cannot break out of Markdown, XML or a workflow command.

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
"""A zero-width space. GitHub looks for names, numbers and addresses in what is shown, where an entity is a character again."""
_SPACE = re.compile(r"\s+")
_ILLEGAL_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def visible(text: str) -> str:
    """The text with control, direction and zero-width characters shown by their code, so that nothing hides or reorders."""
    return "".join(
        f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs") and c not in "\n\t\r" else c
        for c in text
    )


def shorten(text: str, most: int) -> str:
    """The text on one line, at most `most` characters."""
    line = _SPACE.sub(" ", text).strip()
    return line if len(line) <= most else line[: most - 1] + "…"


def markdown(text: str, most: int = 200) -> str:
    """The text as it stands, in one line of Markdown: in a table's cell, a list or a paragraph.

    Every character that Markdown, HTML or GitHub's own links (@name, #12, URLs) could read becomes an entity or is broken up.
    """
    line = visible(shorten(text, most))
    line = _AUTOLINKED.sub(lambda match: f"{match[1][0]}{_HERE}{match[1][1:]}", line)
    return _MARKDOWN.sub(lambda match: _entity(match[1]), line).replace(_HERE, _BREAK)


def plain_markdown(text: str, most: int = 300) -> str:
    """A sentence of ours that quotes names: escaped where Markdown or GitHub would read something into it, else as it stands."""
    line = visible(shorten(text, most)).replace("&", "&amp;")
    line = _AUTOLINKED.sub(lambda match: f"{match[1][0]}{_HERE}{match[1][1:]}", line)
    return _MARKS.sub(lambda match: "".join(_entity(c) for c in match[0]), line).replace(_HERE, _BREAK)


_HERE = "\u200b"
"""Stands for _BREAK until the rest is escaped; a text's own are visible by then."""


def _entity(character: str) -> str:
    return f"&#{ord(character)};{_BREAK if character in '@#' else ''}"


def code(text: str, most: int = 120) -> str:
    """The text as a code span, in which nothing is formatted, linked or notified; safe in a table's cell too."""
    # GitHub reads two backslashes before a bar as one and a bar that ends the cell.
    line = visible(shorten(text, most)).replace("\\|", "\\\u200b|").replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if len(fence) > 1 or line.endswith("\\") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def xml(text: str) -> str:
    """The text without characters that XML 1.0 forbids; quoting is the XML writer's work."""
    return _ILLEGAL_XML.sub("�", text)


def command_message(text: str) -> str:
    """The message of a workflow command: it cannot end its line and start another command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def command_property(text: str) -> str:
    """A property of a workflow command."""
    return command_message(text).replace(":", "%3A").replace(",", "%2C")
