"""A pandera YAML schema, read as rules.

pandera skips a check whose name it does not know; here that is a problem with its place, like any other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec

from alpaqual.errors import Problem
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.model import Check, Rule
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.yaml_nodes import Document, Path

_ABOUT = {
    "schema_type",
    "api",
    "version",
    "name",
    "title",
    "description",
    "metadata",
    "strict",
    "ordered",
    "coerce",
    "dtype",
}
_SCHEMA_KEYS = _ABOUT | {
    "columns",
    "unique",
    "checks",
    "index",
    "report_duplicates",
    "unique_column_names",
    "add_missing_columns",
}
_COLUMN_KEYS = {
    "title",
    "description",
    "metadata",
    "dtype",
    "nullable",
    "unique",
    "coerce",
    "required",
    "regex",
    "checks",
    "report_duplicates",
}
_NO_RULE = ("index", "checks")
Placed = tuple[Rule, Path]


def is_pandera_schema(value: Any) -> bool:
    """Whether a rules file is a pandera schema: a mapping with `columns` or `schema_type`."""
    return isinstance(value, dict) and ("columns" in value or "schema_type" in value)


def rules_of_pandera(document: Document) -> tuple[list[Placed], list[Problem]]:
    """The rules of a pandera schema, each with its place, and what could not be read as a rule."""
    reader = _Reader(document)
    return list(reader.rules()), reader.problems


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.taken: set[str] = set()

    def problem(self, path: Path, message: str) -> None:
        self.problems.append(self.document.problem(path, message, at_key=True))

    def rules(self) -> Iterator[Placed]:
        schema = self.document.value
        for key in schema:
            if key not in _SCHEMA_KEYS:
                self.problem((key,), f"unknown key '{key}' of a pandera schema{suggest(key, _SCHEMA_KEYS)}")
        for key in _NO_RULE:
            if schema.get(key):
                self.problem((key,), f"'{key}' of a pandera schema cannot be read as rules: write a rule in its place")
        columns = schema.get("columns")
        if not isinstance(columns, dict):
            self.problem(("columns",), "'columns' of a pandera schema is a mapping of column names")
            return
        for name, column in columns.items():
            yield from self.column(name, column or {}, ("columns", name))
        yield from self.unique(schema.get("unique"))

    def unique(self, unique: Any) -> Iterator[Placed]:
        names = [unique] if isinstance(unique, str) else [] if unique is None else unique
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.problem(("unique",), "'unique' of a pandera schema is a list of column names")
            return
        if not names:
            return
        if len(names) == 1:
            yield self.rule(f"{names[0]}.unique_rows", names[0], _checked(unique=True)), ("unique",)
        elif set(names) <= {"instruction", "input", "response"}:
            yield (
                Rule(
                    id="unique_rows",
                    check=_checked(no_duplicates={"columns": names}),
                    description="From a pandera schema.",
                ),
                ("unique",),
            )
        else:
            self.problem(("unique",), "rows can be unique over instruction, input and response, or over one column")

    def column(self, name: str, column: Any, path: Path) -> Iterator[Placed]:
        if not isinstance(column, dict):
            self.problem(path, f"column '{name}' of a pandera schema is a mapping")
            return
        if self.flag(column, "regex", path):
            self.problem((*path, "regex"), "column names by regular expression are not read: name each column")
        if not self.flag(column, "nullable", path):
            yield self.rule(f"{name}.not_nullable", name, _checked(not_nullable=True)), path
        if self.flag(column, "unique", path):
            yield self.rule(f"{name}.unique", name, _checked(unique=True)), (*path, "unique")
        for key, argument in column.items():
            if key not in _COLUMN_KEYS:
                yield from self.check(name, key, argument, (*path, key))
        yield from self.checks(name, column.get("checks") or {}, (*path, "checks"))

    def checks(self, column: str, checks: Any, path: Path) -> Iterator[Placed]:
        if isinstance(checks, dict):
            for name, argument in checks.items():
                yield from self.check(column, name, argument, (*path, name))
        elif isinstance(checks, list):
            for index, entry in enumerate(checks):
                yield from self.listed(column, entry, (*path, index))
        else:
            self.problem(path, "'checks' is a list of checks, or a mapping of their names")

    def flag(self, holder: dict[str, Any], key: str, path: Path) -> bool:
        value = holder.get(key)
        if value is not None and not isinstance(value, bool):
            self.problem((*path, key), f"'{key}' must be true or false, not '{value}'")
        return value is True

    def listed(self, column: str, entry: Any, path: Path) -> Iterator[Placed]:
        """A check as pandera lists it where a column has several of one name: its name is among its options."""
        options = entry.get("options") if isinstance(entry, dict) else None
        name = options.get("check_name") if isinstance(options, dict) else None
        if isinstance(name, str):
            yield from self.check(column, name, entry, path)
        else:
            self.problem(path, "a check in a list names itself as options: {check_name: …}; others cannot be read")

    def check(self, column: str, name: str, argument: Any, path: Path) -> Iterator[Placed]:
        known = _known()
        if name not in known:
            self.problem(path, f"unknown check '{name}'{suggest(name, known) or '; known: ' + ', '.join(known)}")
            return
        options = argument.get("options") if isinstance(argument, dict) else None
        options = dict(options) if isinstance(options, dict) else {}
        if isinstance(argument, dict):
            options |= {key: argument[key] for key in ("raise_warning", "ignore_na") if key in argument}
        if options.get("ignore_na") is False:
            self.problem(
                path,
                "'ignore_na: false' is not read: a check passes over nulls, 'nullable: false' is the check for them",
            )
        try:
            found = check_plugins()[known[name]].from_pandera(argument)
            checks = [(f"{name}{end}", _checked(**{other or known[name]: value})) for end, other, value in found]
        except KeyError as error:
            self.problem(path, f"'{name}' of column '{column}' has no {error}")
            return
        except (TypeError, ValueError, msgspec.ValidationError) as error:
            self.problem(path, f"'{name}' of column '{column}' cannot be read: {error}")
            return
        warns = self.flag(options, "raise_warning", path)
        for suffix, check in checks:
            yield self.rule(f"{column}.{suffix}", column, check, warns=warns), path

    def rule(self, name: str, column: str, check: Check, *, warns: bool = False) -> Rule:
        safe = "".join(c if (c.isalnum() and c.isascii()) or c in "_.-" else "_" for c in name).lstrip("_.-") or "rule"
        # A column may have the same check twice, and two columns may differ in what no name can hold.
        numbered = (safe[:74] + ("" if again == 1 else f".{again}") for again in itertools.count(1))
        called = next(name for name in numbered if name not in self.taken)
        self.taken.add(called)
        limit = 0 if warns else None
        return Rule(id=called, column=column, check=check, warn=limit, description="From a pandera schema.")


def _known() -> dict[str, str]:
    """pandera's name of a check -> ours; `nullable` and `unique` belong to a column and are read there."""
    named = {plugin.PANDERA: name for name, plugin in check_plugins().items() if plugin.PANDERA}
    return {pandera: name for pandera, name in named.items() if pandera not in _COLUMN_KEYS}


def _checked(**check: Any) -> Check:
    """A check whose argument is of the right type. Raises msgspec.ValidationError."""
    return msgspec.convert(check, Check)
