"""JSON Schema (draft-07) of recipes, rule files and category files, generated from the structs.

The parser words its messages from the same schema, so the two agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import msgspec

from alpaqual.recipe.model import Category, RecipeText, Rule
from alpaqual.registry import names, own_names

Kind = Literal["recipe", "rules", "category"]
KINDS: tuple[Kind, ...] = ("recipe", "rules", "category")

_TITLES = {"recipe": "alpaqual recipe", "rules": "alpaqual rules", "category": "alpaqual category"}


_CHOICES = {
    ("Source", "format"): "sources",
    ("Engine", "kind"): "engines",
    ("Grader", "kind"): "graders",
    ("Training", "trainer"): "trainers",
    ("Training", "exports"): "trainers",
}
"""Values that are names of plug-ins: editors offer them; the parser refuses others with a suggestion."""


@cache
def json_schema(kind: Kind = "recipe", *, installed: bool = True) -> dict[str, Any]:
    """Return the JSON Schema of one kind of file, with the plug-ins of other packages where `installed`.

    An optional key may also be null, so that `--set datasets.quality.from=` removes a value.
    """
    types: dict[str, Any] = {"recipe": RecipeText, "rules": list[Rule], "category": Category | list[Category]}
    (root,), definitions = msgspec.json.schema_components([types[kind]], ref_template="#/definitions/{name}")
    for definition in definitions.values():
        if not definition.get("required", True):
            del definition["required"]
    for (struct, key), plugins in _CHOICES.items():
        if struct in definitions:
            choices = names(plugins) if installed else own_names(plugins)
            definitions[struct]["properties"][key]["examples"] = list(choices)
    if not installed:
        _leave_out_checks(definitions, set(names("checks")) - set(own_names("checks")))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"https://alpaqual.invalid/schemas/{kind}/v1.json",
        "title": _TITLES[kind],
        **root,
        "definitions": definitions,
    }


def _leave_out_checks(definitions: dict[str, Any], foreign: set[str]) -> None:
    """Remove the checks of other packages, and the types that only their arguments have."""
    if "Check" not in definitions:
        return
    before = set(references(definitions["Check"]))
    for name in foreign:
        definitions["Check"]["properties"].pop(name)
    for option in definitions["Rule"]["properties"]["check"]["anyOf"]:
        if "enum" in option:
            option["enum"] = [name for name in option["enum"] if name not in foreign]
    for name in before - set(references(definitions["Check"])):
        del definitions[name]


def references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)
