"""JSON Schema (draft-07) of recipes, rule files and category files, generated from the structs.

The parser words its messages from the same schema, so the two agree.
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
    """Return the JSON Schema of one kind of file.

    An optional key may also be null, so that `--set datasets.quality.from=` removes a value.
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
