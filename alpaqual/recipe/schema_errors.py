"""Turn JSON Schema errors into problems with a position and a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from alpaqual.errors import Problem
from alpaqual.recipe.misplaced import advice
from alpaqual.recipe.model_settings import MODEL
from alpaqual.recipe.schema import Kind, json_schema
from alpaqual.recipe.yaml_nodes import Document, Path
from alpaqual.types import CHARACTER, NAME, PERCENT, QUOTE

_KINDS = {
    "object": "a mapping (keys and values)",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}
_TYPES: dict[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    float: "number",
    int: "integer",
    bool: "boolean",
}


def suggest(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the closest known name, or an empty string."""
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return f", did you mean '{lower[near[0]]}'?" if near else ""


def schema_problems(document: Document, kind: Kind) -> list[tuple[Path, Problem]]:
    """Every schema violation of the document, each with the path of the invalid value."""
    found: list[tuple[Path, Problem]] = []
    for error in validator(kind).iter_errors(document.value):
        for leaf in _leaves(error):
            found.extend(_problems(document, leaf))
    return found


@cache
def validator(kind: Kind) -> Any:
    """Return the validator of a schema.

    Like msgspec and unlike JSON Schema, it treats 1 and 1.0 as different.
    """
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend

    def one_of(_: Any, options: list[Any], instance: Any, __: Any) -> Iterator[Any]:
        if not any(type(option) is type(instance) and option == instance for option in options):
            yield ValidationError(f"{instance!r} is not one of {options!r}")

    def whole(_: Any, instance: Any) -> bool:
        return isinstance(instance, int) and not isinstance(instance, bool)

    types = Draft7Validator.TYPE_CHECKER.redefine("integer", whole)
    strict = extend(Draft7Validator, {"enum": one_of}, type_checker=types)  # type: ignore[no-untyped-call]
    return strict(json_schema(kind))


def _leaves(error: Any) -> Iterator[Any]:
    """For a union, the errors of the branch that was most likely meant."""
    if error.validator not in ("anyOf", "oneOf"):
        yield error
        return
    branches: dict[int, list[Any]] = {}
    for child in error.context:
        if error.validator_value[child.relative_schema_path[0]] != _NULL:
            branches.setdefault(child.relative_schema_path[0], []).append(child)
    if len(branches) == 1:
        for child in next(iter(branches.values())):
            yield from _leaves(child)
        return
    fitting = [errors for errors in branches.values() if not any(_wrong_type(child) for child in errors)]
    if len(fitting) >= 1:
        for child in min(fitting, key=len):
            yield from _leaves(child)
    else:
        yield error


_NULL = {"type": "null"}


def _wrong_type(error: Any) -> bool:
    return error.validator in ("type", "enum") and not error.relative_path


def _problems(document: Document, error: Any) -> Iterator[tuple[Path, Problem]]:
    path: Path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", ()))
        for key in error.instance:
            if key not in known:
                better = advice(path, key, error.instance)
                message = f"unknown key '{key}'{f': {better}' if better else suggest(key, known) or _list(known)}"
                yield (*path, key), document.problem((*path, key), message, at_key=True)
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        unknown = [key for key in error.instance if key not in error.schema.get("properties", ())]
        for key in missing:
            if not any(difflib.get_close_matches(other, [key], cutoff=0.6) for other in unknown):
                yield path, document.problem(path, f"the key '{key}' is missing")
    elif "propertyNames" in error.absolute_schema_path:
        path = (*path, error.instance)
        shown = f"'{error.instance}'"
        message = _message(error, path).replace(f"{shown} is {shown}:", f"{shown}:", 1)
        yield path, document.problem(path, message, at_key=True)
    else:
        yield path, document.problem(path, _message(error, path))


def _list(known: list[str]) -> str:
    return f"; known keys: {', '.join(known)}" if known else ""


def _message(error: Any, path: Path) -> str:  # noqa: C901 - a table of messages
    key = f"'{path[-1]}'" if path and isinstance(path[-1], str) else "this"
    value, wanted = error.instance, error.validator_value
    match error.validator:
        case "type":
            return f"{key} must be {_kind(wanted)}, not {_shown(value)}"
        case "enum":
            options = [str(option) for option in wanted]
            if str(value) in options:
                return f"{key} is the text '{value}': write the number, without quotes"
            return f"{key} is {_shown(value)}: it must be {_one_of(options)}{suggest(str(value), options)}"
        case "minimum":
            return f"{key} is {value}: it must be {wanted} or more"
        case "maximum":
            return f"{key} is {value}: it must be {wanted} or less"
        case "exclusiveMinimum":
            return f"{key} is {value}: it must be more than {wanted}"
        case "exclusiveMaximum":
            return f"{key} is {value}: it must be less than {wanted}"
        case "minItems" | "minProperties":
            return f"{key} is empty: it needs at least {wanted}"
        case "maxItems":
            return f"{key} has {len(value)} entries: it may have {wanted} at most"
        case "minLength":
            return f"{key} is empty"
        case "maxLength":
            return f"{key} has {len(value)} characters: it may have {wanted} at most"
        case "pattern":
            return f"{key} is {_shown(value)}: {_pattern(wanted)}"
        case "anyOf":
            return f"{key} is {_shown(value)}: it must be {_options(error)}"
    return f"{key}: {error.message}"


def _options(error: Any) -> str:
    kinds: list[str] = []
    options: list[str] = []
    for child in error.context:
        if child.validator == "enum":
            options += [str(option) for option in child.validator_value]
            kinds.append(_one_of(options))
        elif child.validator == "type" and child.schema.get("pattern") == PERCENT:
            kinds.append("a percentage such as 5%")
        elif child.validator == "type" and child.schema != _NULL:
            kinds.append(_kind(child.validator_value))
    hint = suggest(error.instance, options) if isinstance(error.instance, str) else ""
    return (" or ".join(dict.fromkeys(kinds)) or "of another kind") + hint


def _one_of(options: list[str]) -> str:
    return f"one of {', '.join(options)}" if len(options) > 1 else options[0]


def _kind(wanted: Any) -> str:
    return " or ".join(_KINDS.get(name, name) for name in ([wanted] if isinstance(wanted, str) else wanted))


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return _KINDS[_TYPES[type(value)]]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}'" if len(text) <= 40 else f"'{text[:40]}…'"


def _pattern(pattern: str) -> str:
    if pattern == NAME:
        return "a name is made of letters, digits, '_', '.' and '-', and starts with a letter or digit"
    if pattern in (CHARACTER, QUOTE):
        return (
            "write one character, in quotes: '|', ';', or \"\\t\" for a tab"
            if pattern == CHARACTER
            else "write one character, in quotes: '\"', or '' for none"
        )
    if pattern == PERCENT:
        return "write a number or a percentage such as 5%, 100% at most"
    if "GiB" in pattern:
        return "write a size such as 4GB"
    if pattern == MODEL:
        return "write provider/name, such as openai/gpt-4o-mini or recorded/replies.jsonl"
    return f"it must match {pattern}"


def remove_paths(document: Document, paths: Iterable[Path]) -> None:
    """Remove the values at `paths`; the rest keeps its line and column."""
    removed = set(paths)
    moved: dict[Path, Path] = {(): ()}

    def copy(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            for key in value:
                moved[(*path, key)] = (*moved[path], key)
            return {key: copy(child, (*path, key)) for key, child in value.items() if (*path, key) not in removed}
        if isinstance(value, list):
            kept = [index for index in range(len(value)) if (*path, index) not in removed]
            for new, old in enumerate(kept):
                moved[(*path, old)] = (*moved[path], new)
            return [copy(value[index], (*path, index)) for index in kept]
        return value

    document.value = copy(document.value, ())
    document.keys = {moved[path]: place for path, place in document.keys.items() if path in moved}
    document.values = {moved[path]: place for path, place in document.values.items() if path in moved}
    document.sets = {moved[path]: assignment for path, assignment in document.sets.items() if path in moved}
    document.removed = [_moved(path, moved) for path in (*document.removed, *removed)]


def _moved(path: Path, moved: dict[Path, Path]) -> Path:
    """Path of a removed value in the remaining document.

    Removed list positions become -1, which no remaining entry has.
    """
    kept = path
    while kept not in moved:
        kept = kept[:-1]
    return (*moved[kept], *(-1 if isinstance(part, int) else part for part in path[len(kept) :]))
