"""The JSON Schema (draft-07) of recipes, rule files and category files, made from the words of `model`.

The parser explains its problems with the same schema, so the two cannot differ.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import msgspec

from alpaqual.recipe.model import Category, RecipeText, Rule

Kind = Literal["recipe", "rules", "category"]
KINDS: tuple[Kind, ...] = ("recipe", "rules", "category")

_TITLES = {"recipe": "alpaqual recipe", "rules": "alpaqual rules", "category": "alpaqual category"}


@cache
def json_schema(kind: Kind = "recipe") -> dict[str, Any]:
    """The schema of one kind of file."""
    types: dict[str, Any] = {"recipe": RecipeText, "rules": list[Rule], "category": Category | list[Category]}
    (root,), definitions = msgspec.json.schema_components([types[kind]], ref_template="#/definitions/{name}")
    for definition in definitions.values():
        _drop_null(definition)
        if not definition.get("required", True):
            del definition["required"]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"https://alpaqual.invalid/schemas/{kind}/v1.json",
        "title": _TITLES[kind],
        **root,
        "definitions": definitions,
    }


def _drop_null(definition: dict[str, Any]) -> None:
    """A key that is left out has no value; `key: null` is as good as leaving it out, but nobody needs it suggested."""
    for name, schema in definition.get("properties", {}).items():
        options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
        if not options or len(options) == len(schema["anyOf"]):
            continue
        kept = {
            key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)
        }
        definition["properties"][name] = (
            {**kept, **options[0]} if len(options) == 1 and "$ref" not in options[0] else {**kept, "anyOf": options}
        )
        if len(options) == 1 and "$ref" in options[0]:
            definition["properties"][name] = {**kept, "allOf": options}
