"""JSON Schema's errors -> problems a person can act on: every one, with its place and a suggestion."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from alpaqual.errors import Problem
from alpaqual.recipe.schema import Kind, json_schema
from alpaqual.recipe.yaml_nodes import Document, Path

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
    """`, did you mean 'x'?` where something known is near, else nothing."""
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return f", did you mean '{lower[near[0]]}'?" if near else ""


def explain(document: Document, kind: Kind) -> list[tuple[Path, Problem]]:
    """Every way in which the document breaks its schema, with the path to mend."""
    from jsonschema import Draft7Validator

    found: list[tuple[Path, Problem]] = []
    for error in Draft7Validator(json_schema(kind)).iter_errors(document.value):
        for leaf in _leaves(error):
            found.extend(_problems(document, leaf))
    return found


def _leaves(error: Any) -> Iterator[Any]:
    """Of a union's errors, those of the branch that the writer most likely meant."""
    if error.validator not in ("anyOf", "oneOf"):
        yield error
        return
    branches: dict[int, list[Any]] = {}
    for child in error.context:
        branches.setdefault(child.relative_schema_path[0], []).append(child)
    fitting = [errors for errors in branches.values() if not any(_wrong_type(child) for child in errors)]
    if len(fitting) >= 1:
        for child in min(fitting, key=len):
            yield from _leaves(child)
    else:
        yield error


def _wrong_type(error: Any) -> bool:
    return error.validator in ("type", "enum") and not error.relative_path


def _problems(document: Document, error: Any) -> Iterator[tuple[Path, Problem]]:
    path: Path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", ()))
        for key in error.instance:
            if key not in known:
                message = f"unknown key '{key}'{suggest(key, known) or _list(known)}"
                yield (*path, key), document.problem((*path, key), message, at_key=True)
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        strangers = [key for key in error.instance if key not in error.schema.get("properties", ())]
        for key in missing:
            if not any(difflib.get_close_matches(stranger, [key], cutoff=0.6) for stranger in strangers):
                yield path, document.problem(path, f"the key '{key}' is missing")
    else:
        yield path, document.problem(path, _message(error, path), at_key=error.validator == "propertyNames")


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
            return f"{key} is {_shown(value)}: it must be one of {', '.join(options)}{suggest(str(value), options)}"
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
        case "pattern":
            return f"{key} is {_shown(value)}: {_pattern(wanted)}"
        case "anyOf":
            return f"{key} is {_shown(value)}: it must be {_options(error)}"
    return f"{key}: {error.message}"


def _options(error: Any) -> str:
    kinds: list[str] = []
    for child in error.context:
        if child.validator == "enum":
            kinds.append("one of " + ", ".join(str(option) for option in child.validator_value))
        elif child.validator == "type":
            kinds.append(_kind(child.validator_value))
    return " or ".join(dict.fromkeys(kinds)) or "of another kind"


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
    if pattern == r"^[A-Za-z0-9][A-Za-z0-9_.-]*$":
        return "a name is made of letters, digits, '_', '.' and '-', and starts with a letter or digit"
    if "%" in pattern:
        return "write a whole number or a percentage such as 5%"
    if "GiB" in pattern:
        return "write a size such as 4GB"
    if re.match(r"\^\[a-z_\]\+/", pattern):
        return "write provider/name, such as openai/gpt-4o-mini or recorded/replies.jsonl"
    return f"it must match {pattern}"


def prune(document: Document, paths: Iterable[Path]) -> Any:
    """A copy of the document's value without what stands at `paths`, so that the rest can still be checked."""
    doomed = set(paths)

    def copy(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: copy(child, (*path, key)) for key, child in value.items() if (*path, key) not in doomed}
        if isinstance(value, list):
            return [copy(child, (*path, index)) for index, child in enumerate(value) if (*path, index) not in doomed]
        return value

    return copy(document.value, ())
