"""Words that must not occur in code, tests and documentation, each with a plainer one.

A name is the field's noun or an imperative verb; where PyTorch, SQL, HTTP or Python has a word, that word is used.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCANNED = (
    "*.md",
    "*.toml",
    "*.py",
    "*.cff",
    "justfile",
    "noxfile.py",
    ".ci/*",
    ".github/**/*",
    "alpaqual/**/*.py",
    "alpaqual/report/assets/report.*",
    "docs/**/*.md",
    "docs/*.py",
    "recipes/**/*.md",
    "recipes/**/*.yaml",
    "rules/**/*.yaml",
    "tests/**/*.py",
)

PLAINER = {
    "nobody": "name what is missing: no process, no server, no user",
    "whoever": "name who: the caller, the reader, the process",
    "anybody|everybody|somebody": "name who: all callers, another process, a user",
    r"so (?:many|much)": "this many, a number of",
    "what is none": "say what it is",
    "told|tells": "is passed, is reported, prints, shows",
    "lies?": "is, is stored in, is between",
    r"dear(?:er|est|ly)?": "expensive",
    r"mend(?:s|ed|ing)?": "fix",
    r"reckon(?:s|ed|ing)?": "compute, count, estimate",
    "stands?": "is",
    "rooms?": "package; for memory: space",
    "doors?": "command line, entry point",
    "house": "project",
    "(?:the|next|upper|lower) floors": "layers",
    "the ground": "base types",
    "bears?": "has, allows",
    "beholds?|befalls?|begets?|suffices?|dwells?": "a plain verb",
    "(?:comes?|came|coming) to": "is, totals, results in",
    "is there at all": "exists",
    "(?:go|goes|going|went) on": "continue, resume",
    "held against": "compared with",
    "speaks?": "uses, prints",
    "last word": "result",
    "second names?": "hard links",
    "of the world": "name what: network, clock, environment",
    "of ours": "of alpaqual",
    "where (?:you|one) stands?": "the current directory",
    "in the same go": "at once",
    "asker": "client",
    "hence|thereof|therein|whence|thence|lest|ere|naught|aught|sundry|perforce|forthwith|betwixt": "a plain word",
}

ALLOWED = (
    r"stands? for\b",  # an abbreviation stands for its long form
    r"stand-?in\b|stands? in for\b",
    r"lie detector",
)
"""Correct uses of these words anywhere."""

DATA = {
    "tests/project/test_words.py": ".*",
    "tests/unit/rules/*.py": "dear|house|rooms?|tell|told|stands?|lies?|doors?|speaks?|(?:go|goes|going|went) on",
}
"""Files whose strings are rows of data -> words that may occur in them."""


class Finding(NamedTuple):
    path: str
    line: int
    word: str
    plainer: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: '{self.word}': {self.plainer}"


# Letters alone bound a word, and an underscore is a space, so that the parts of snake_case names are words too.
_WORDS = {
    re.compile(rf"(?<![a-z])(?:{word.replace(' ', '[ _]')})(?![a-z])", re.IGNORECASE): plainer
    for word, plainer in PLAINER.items()
}
_ANY = re.compile(rf"(?<![a-z])(?:{'|'.join(PLAINER).replace(' ', '[ _]')})(?![a-z])")
"""Most lines hold none of the words: one search of the line in lower case instead of one for each."""
_ALLOWED = re.compile("|".join(f"(?:{use})" for use in ALLOWED), re.IGNORECASE)


def scanned_files() -> list[Path]:
    found = {path for pattern in SCANNED for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in found if "__pycache__" not in path.parts)


def findings(path: Path) -> Iterator[Finding]:
    """Yield every banned word of a file, by line."""
    name = str(path.relative_to(ROOT))
    data = next((words for pattern, words in DATA.items() if fnmatch(name, pattern)), None)
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(prose(name, text).splitlines(), 1):
        if not _ANY.search(line.lower()):
            continue
        for word, plainer in _WORDS.items():
            for match in word.finditer(_ALLOWED.sub("", line)):
                if data is None or not re.fullmatch(data, match[0], re.IGNORECASE):
                    yield Finding(name, number, match[0], plainer)


def prose(name: str, text: str) -> str:
    """Blank the lines of a rule file that are patterns; keep the number of lines."""
    if not name.startswith("rules/"):
        return text
    kept = re.compile(r"\s*#|\s*(?:- )?(?:description|title):")
    block = False
    lines = []
    for line in text.splitlines():
        # A folded description goes over the indented lines below its key.
        block = bool(kept.match(line)) or (block and line.startswith("  ") and not re.match(r"\s*\w+:", line))
        lines.append(line if block else "")
    return "\n".join(lines)


def test_no_file_holds_a_banned_word() -> None:
    files = scanned_files()
    found = [str(finding) for path in files for finding in findings(path)]

    assert len(files) > 30
    assert not found, "words to replace:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("# Nobody reads it.", "Nobody"),
        ("def told_all() -> None: ...", "told"),
        ("The file lies beside it.", "lies"),
        ("class _Door:", "Door"),
        ("Training goes on.", "goes on"),
        ("what stands there", "stands"),
        ("def test_a_run_that_goes_on() -> None: ...", "goes_on"),
    ],
)
def test_a_banned_word_is_found_in_prose_and_in_names(tmp_path: Path, line: str, word: str) -> None:
    assert [match[0] for pattern in _WORDS for match in pattern.finditer(_ALLOWED.sub("", line))] == [word]


@pytest.mark.parametrize(
    "line",
    ["SFT stands for supervised fine-tuning", "_PLACEHOLDERS", "quota: {floor: 3.5}", "outdoors", "understands"],
)
def test_other_words_are_left_alone(line: str) -> None:
    assert not [match[0] for pattern in _WORDS for match in pattern.finditer(_ALLOWED.sub("", line))]


def test_patterns_of_a_rule_file_are_data() -> None:
    text = "# Told in a comment.\n- id: x\n  description: >-\n    It lies\n    here.\n  where: told\n  pattern: >-\n    (house)\n"
    assert prose("rules/x.yaml", text).split("\n") == [
        "# Told in a comment.",
        "",
        "  description: >-",
        "    It lies",
        "    here.",
        "",
        "",
        "",
    ]
