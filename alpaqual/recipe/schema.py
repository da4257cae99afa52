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
    """The schema of one kind of file.

    A key that may be left out may be null as well: `--set datasets.quality.from=` takes a value away.
    """
    types: dict[str, Any] = {"recipe": RecipeText, "rules": list[Rule], "category": Category | list[Category]}
    (root,), definitions = msgspec.json.schema_components([types[kind]], ref_template="#/definitions/{name}")
    for definition in definitions.values():
        if not definition.get("required", True):
            del definition["required"]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"https://alpaqual.invalid/schemas/{kind}/v1.json",
        "title": _TITLES[kind],
        **root,
        "definitions": definitions,
    }
