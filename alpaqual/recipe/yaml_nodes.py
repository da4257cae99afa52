"""Read YAML into plain values with their line and column.

Values are mappings, lists, strings, booleans, numbers and null. What YAML 1.1 converts by surprise (`no`, `on`, `12:30`,
dates) stays a string. A duplicate key is a problem. No other module reads YAML.
"""

from __future__ import annotations

import difflib
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
_CONSTANTS: dict[str, Any] = {
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
"""Tags that PyYAML assigns to untagged values; any other tag is in the text."""
_CONFLICT = re.compile(r"^(?:<{7}|\|{7}|>{7})(?: |$)", re.M)
_WHERE = re.compile(r"(?:^|[\s{,])where:\s")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_VALUES = 200_000
_MAX_DEPTH = 100


@dataclass
class Document:
    """A parsed YAML text: its value, and the position (line, column, from 1) of its parts."""

    file: str
    value: Any = None
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    sets: dict[Path, str] = field(default_factory=dict)
    """Path -> the `--set KEY=VALUE` that set it on the command line."""
    problems: list[Problem] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    """Paths of invalid values that were removed so that the rest could still be checked."""

    def was_removed(self, path: Path) -> bool:
        """Whether the value at `path`, a parent or a child was removed.

        A missing value there was already reported.
        """
        return any(all(a == b for a, b in zip(removed, path, strict=False)) for removed in self.removed)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """Make a problem at the value of `path`, or at its key.

        Without a position, the nearest parent that has one is used.
        """
        for set_path, assignment in reversed(self.sets.items()):
            if path[: len(set_path)] == set_path:
                return Problem(f"--set {assignment}", 0, 0, message)
        if at_key and path in self.keys:
            return Problem(self.file, *self.keys[path], message)
        nearest = path
        while nearest and nearest not in self.values:
            nearest = nearest[:-1]
        return Problem(self.file, *self.values.get(nearest, (1, 1)), message)

    def place(self, path: Path) -> str:
        """`file:line` of a path for reports: of its key, else of its value."""
        return f"{self.file}:{self.keys.get(path, self.values.get(path, (1, 1)))[0]}"


def read_document(text: str, file: str) -> Document:
    """Read one YAML text. Problems (syntax, duplicate keys) go into `Document.problems`; nothing is raised."""
    document = Document(file)
    text = text.removeprefix("\ufeff")
    if found := _UNPRINTABLE.search(text):
        message = f"not YAML: the character U+{ord(found[0]):04X} is not allowed in a text file"
        document.problems.append(Problem(file, *_line_and_column(text, found.start()), message))
        return document
    try:
        too_deep = _find_too_deep(text)
        root = None if too_deep else yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        if conflict := _CONFLICT.search(text):
            place, reason = _line_and_column(text, conflict.start()), "an unresolved merge conflict"
        else:
            mark = error.problem_mark or error.context_mark
            place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            reason = str(error.problem or error.context) + _advice(text, *place)
        document.problems.append(Problem(file, *place, f"not YAML: {reason}"))
        return document
    except (yaml.YAMLError, UnicodeError) as error:
        document.problems.append(Problem(file, 1, 1, f"not YAML: {str(error).splitlines()[0]}"))
        return document
    if too_deep:
        document.problems.append(Problem(file, *too_deep, f"nested too deeply: the limit is {_MAX_DEPTH} levels"))
    elif root is None:
        document.problems.append(Problem(file, 1, 1, "the file is empty"))
    else:
        document.value = _Builder(document).build(root, ())
    return document


def _advice(text: str, line: int, column: int) -> str:
    """What to do about a syntax error at a line and column (from 1), for the causes that recipes have most often."""
    written = text.splitlines()[line - 1 : line]
    before, after = (written[0][: column - 1], written[0][column - 1 :]) if written else ("", "")
    if "\t" in f"{before[len(before.rstrip()) :]}{after[:1]}":
        return ": a tab; indent with spaces"
    if _WHERE.search(before):
        return ": put the whole expression in double quotes, as in where: \"lang = 'en'\""
    if after[:1] in ("|", "@", "`", "%"):
        return f": put '{after[0]}' in quotes"
    return ""


def _line_and_column(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, index - before.rfind("\n")


def _find_too_deep(text: str) -> tuple[int, int] | None:
    """Line and column where nesting exceeds the limit, else None.

    PyYAML composes by recursion without a limit.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH and event.start_mark is not None:
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
        if id(node) in self.open or len(path) > _MAX_DEPTH or self.count > _MAX_VALUES:
            if id(node) in self.open:
                self.problem(node, "an alias that contains itself")
            elif len(path) > _MAX_DEPTH:
                self.problem(node, f"nested too deeply: the limit is {_MAX_DEPTH} levels")
            elif self.count == _MAX_VALUES + 1:
                self.problem(node, f"too many values: the limit is {_MAX_VALUES:,}")
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
                self.problem(key_node, "a key must be a string")
                continue
            key = key_node.value
            self.tag(key_node)
            if key_node.tag.endswith(":merge"):
                self.problem(key_node, "merge keys (<<) are not supported: write the keys out")
                continue
            if key in value:
                first = self.document.keys[(*path, key)][0]
                self.problem(key_node, f"duplicate key '{key}' (first on line {first})")
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
            self.problem(node, f"tags such as {shown} are not supported: write a plain value")

    def problem(self, node: yaml.Node, message: str) -> None:
        mark = node.start_mark
        self.document.problems.append(Problem(self.document.file, mark.line + 1, mark.column + 1, message))


def resolve_scalar(text: str) -> Any:
    """Value of an unquoted scalar: None, bool, int, float, or the string itself."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.match(text):
        return int(text) if len(text) < 40 else text
    if _NUMBER.match(text):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


def apply_set(document: Document, assignment: str) -> None:
    """Apply one `--set KEY=VALUE`.

    KEY is a path of names and list positions, joined by dots. Problems go into `Document.problems`.
    """
    key, equals, text = assignment.partition("=")
    place = f"--set {assignment}"
    if not equals or not key:
        document.problems.append(Problem(place, 0, 0, "write KEY=VALUE, as in datasets.quality.threshold.accuracy=4"))
        return
    read = read_document(text, place) if text.strip() else Document(place)
    if read.problems:
        document.problems.extend(Problem(place, 0, 0, problem.message) for problem in read.problems)
        return
    path = _resolve_key(document.value, key.split("."))
    if path is None:
        document.problems.append(Problem(place, 0, 0, f"the recipe has no value at '{key}' to set"))
        return
    if missing := _missing_part(document.value, path):
        document.problems.append(Problem(place, 0, 0, missing))
        return
    holder = document.value
    created = len(path)
    for depth, part in enumerate(path[:-1], 1):
        if isinstance(holder, dict) and part not in holder:
            holder[part] = {}
            created = min(created, depth)
        holder = holder[part]
    holder[path[-1]] = read.value
    # Problems at or below the first mapping that this assignment created are reported at the assignment.
    document.sets.pop(path[:created], None)
    document.sets[path[:created]] = assignment


def _missing_part(recipe: Any, path: Path) -> str:
    """What is wrong with a path that sets a part of a new dataset or grader, whose name is close to one that is there; or nothing."""
    kind, own = path[0], recipe.get(path[0]) if isinstance(recipe, dict) else None
    if kind not in ("datasets", "graders") or len(path) < 3 or not isinstance(own, dict) or path[1] in own:
        return ""
    near = difflib.get_close_matches(str(path[1]), map(str, own), n=1)
    message = f"there is no {str(kind)[:-1]} '{path[1]}', did you mean '%s'? To add it, set it as a whole: {kind}.{path[1]}={{…}}"
    return message % near[0] if near else ""


def _resolve_key(value: Any, parts: list[str]) -> Path | None:  # noqa: C901 - lists, then names with and without dots
    """The path that `parts` name, or None. Mappings may be missing; list positions must exist.

    A name may contain dots: the longest existing name wins.
    """
    if isinstance(value, list):
        if not re.fullmatch("[0-9]{1,9}", parts[0]) or int(parts[0]) >= len(value):
            return None
        index = int(parts[0])
        if len(parts) == 1:
            return (index,)
        rest = _resolve_key(value[index], parts[1:])
        return None if rest is None else (index, *rest)
    if not isinstance(value, dict):
        return None
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in value:
            if length == len(parts):
                return (name,)
            rest = _resolve_key(value[name], parts[length:])
            if rest is not None:
                return (name, *rest)
    if len(parts) == 1:
        return (parts[0],)
    if parts[0] in value:
        return None
    return tuple(parts)


def walk_values(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value with its path, parents first."""
    yield path, value
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from walk_values(child, (*path, key))
