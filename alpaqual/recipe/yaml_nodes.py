"""Text -> plain values, with the place of every one of them. The one file that knows YAML.

Values only: mappings, lists, texts, true and false, numbers, null. The surprises of YAML 1.1 (`no`, `on`, `12:30`, dates)
stay texts; a key given twice is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from alpaqual.errors import Problem

Path = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]+$")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$")
_WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "true": True,
    "True": True,
    "false": False,
    "False": False,
}
_PLAIN_TAGS = tuple(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value", "merge")
)
"""What a value without a tag is resolved to; any other tag was written."""
_CONFLICT = re.compile(r"^(?:<{7}|\|{7}|>{7})(?: |$)", re.M)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_VALUES = 200_000
_MOST_DEPTH = 100


@dataclass
class Document:
    """A text that was read: its value, and the place (line, column, from 1) of each key and value in it."""

    file: str
    value: Any = None
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    sets: dict[Path, str] = field(default_factory=dict)
    """Paths that were set on the command line, with the words that set them."""
    problems: list[Problem] = field(default_factory=list)
    cut: list[Path] = field(default_factory=list)
    """Paths of what was wrong and cut out, so that the rest could still be checked."""

    def lost(self, path: Path) -> bool:
        """Whether something at `path`, in it or around it was cut out: what is missing there is no problem of its own."""
        return any(all(a == b for a, b in zip(gone, path, strict=False)) for gone in self.cut)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """A problem at the value of `path` (or its key), or at the nearest value around it that has a place."""
        for set_path, words in reversed(self.sets.items()):
            if path[: len(set_path)] == set_path:
                return Problem(f"--set {words}", 0, 0, message)
        if at_key and path in self.keys:
            return Problem(self.file, *self.keys[path], message)
        nearest = path
        while nearest and nearest not in self.values:
            nearest = nearest[:-1]
        return Problem(self.file, *self.values.get(nearest, (1, 1)), message)

    def place(self, path: Path) -> str:
        """`file:line` of a path, for a report: of its key where it has one."""
        return f"{self.file}:{self.keys.get(path, self.values.get(path, (1, 1)))[0]}"


def read_document(text: str, file: str) -> Document:
    """Read one YAML text. Problems (syntax, duplicate keys) are in the document, never raised."""
    document = Document(file)
    text = text.removeprefix("\ufeff")
    if found := _UNPRINTABLE.search(text):
        message = f"not YAML: the character U+{ord(found[0]):04X} may not stand in a text file"
        document.problems.append(Problem(file, *_place_in(text, found.start()), message))
        return document
    try:
        deep = _too_deep(text)
        root = None if deep else yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        if conflict := _CONFLICT.search(text):
            place, reason = _place_in(text, conflict.start()), "an unresolved merge conflict"
        else:
            mark = error.problem_mark or error.context_mark
            place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            reason = str(error.problem or error.context)
        document.problems.append(Problem(file, *place, f"not YAML: {reason}"))
        return document
    except (yaml.YAMLError, UnicodeError) as error:
        document.problems.append(Problem(file, 1, 1, f"not YAML: {str(error).splitlines()[0]}"))
        return document
    if deep:
        document.problems.append(Problem(file, *deep, f"nested too deeply: {_MOST_DEPTH} levels are the most"))
    elif root is None:
        document.problems.append(Problem(file, 1, 1, "the file is empty"))
    else:
        document.value = _Builder(document).build(root, ())
    return document


def _place_in(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, index - before.rfind("\n")


def _too_deep(text: str) -> tuple[int, int] | None:
    """Where the text is nested deeper than a recipe can be: PyYAML builds its tree by recursion, without a limit."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MOST_DEPTH and event.start_mark is not None:
                return event.start_mark.line + 1, event.start_mark.column + 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.open: set[int] = set()

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.count += 1
        if id(node) in self.open or len(path) > _MOST_DEPTH or self.count > _MOST_VALUES:
            if id(node) in self.open:
                self.problem(node, "an alias that holds itself")
            elif len(path) > _MOST_DEPTH:
                self.problem(node, f"nested too deeply: {_MOST_DEPTH} levels are the most")
            elif self.count == _MOST_VALUES + 1:
                self.problem(node, f"too many values: {_MOST_VALUES:,} are the most")
            return None
        self.document.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        self.tag(node)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        self.open.add(id(node))
        value: Any
        if isinstance(node, yaml.SequenceNode):
            value = [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        else:
            value = self.mapping(node, path)
        self.open.discard(id(node))
        return value

    def mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, "a key must be a plain text")
                continue
            key = key_node.value
            self.tag(key_node)
            if key_node.tag.endswith(":merge"):
                self.problem(key_node, "merge keys (<<) are not read: write the keys out")
                continue
            if key in value:
                first = self.document.keys[(*path, key)][0]
                self.problem(key_node, f"key '{key}' is given twice (first on line {first})")
                continue
            self.document.keys[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            value[key] = self.build(value_node, (*path, key))
        return value

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        return text if node.style is not None and node.style != "" else resolve_scalar(text)

    def tag(self, node: yaml.Node) -> None:
        if node.tag not in _PLAIN_TAGS:
            shown = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.problem(node, f"tags such as {shown} are not read: write a plain value")

    def problem(self, node: yaml.Node, message: str) -> None:
        mark = node.start_mark
        self.document.problems.append(Problem(self.document.file, mark.line + 1, mark.column + 1, message))


def resolve_scalar(text: str) -> Any:
    """A plain scalar's value: null, true, false, a whole number, a number, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text) if len(text) < 40 else text
    if _NUMBER.match(text):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


def apply_set(document: Document, words: str) -> None:
    """Apply one `--set KEY=VALUE`: KEY is a path of names and list positions joined by dots."""
    key, equals, text = words.partition("=")
    place = f"--set {words}"
    if not equals or not key:
        document.problems.append(Problem(place, 0, 0, "write KEY=VALUE, as in datasets.quality.threshold.accuracy=4"))
        return
    read = read_document(text, place) if text.strip() else Document(place)
    if read.problems:
        document.problems.extend(Problem(place, 0, 0, problem.message) for problem in read.problems)
        return
    path = _walk(document.value, key.split("."))
    if path is None:
        document.problems.append(Problem(place, 0, 0, f"there is nothing at '{key}' in the recipe to set"))
        return
    holder = document.value
    new = len(path)
    for depth, part in enumerate(path[:-1], 1):
        if isinstance(holder, dict) and part not in holder:
            holder[part] = {}
            new = min(new, depth)
        holder = holder[part]
    holder[path[-1]] = read.value
    # Of mappings that were made on the way, the first is where the words begin to count.
    document.sets.pop(path[:new], None)
    document.sets[path[:new]] = words


def _walk(value: Any, parts: list[str]) -> Path | None:  # noqa: C901 - lists, then names with and without dots
    """The path of the value that `parts` name; mappings on the way may be missing, list positions must be there.

    A name may hold dots itself: the longest name that exists is taken.
    """
    if isinstance(value, list):
        if not re.fullmatch("[0-9]{1,9}", parts[0]) or int(parts[0]) >= len(value):
            return None
        index = int(parts[0])
        if len(parts) == 1:
            return (index,)
        rest = _walk(value[index], parts[1:])
        return None if rest is None else (index, *rest)
    if not isinstance(value, dict):
        return None
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in value:
            if length == len(parts):
                return (name,)
            rest = _walk(value[name], parts[length:])
            if rest is not None:
                return (name, *rest)
    if len(parts) == 1:
        return (parts[0],)
    if parts[0] in value:
        return None
    return tuple(parts)


def walk_values(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value with its path, parents first."""
    yield path, value
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from walk_values(child, (*path, key))
