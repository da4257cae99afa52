"""Field types and the base struct of recipes, which the arguments of checks share."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

# `$` also matches before a final line break; `(?!\n)` rules that out.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(?!\n)$"
PERCENT = r"^(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)%(?!\n)$"
CHARACTER = r"^[^\r\n](?!\n)$"
QUOTE = r"^[^\r\n]?(?!\n)$"

Name = Annotated[str, Meta(pattern=NAME, max_length=80)]
Text = Annotated[str, Meta(min_length=1)]
Percent = Annotated[str, Meta(pattern=PERCENT, examples=["5%"])]
Character = Annotated[str, Meta(pattern=CHARACTER)]
Quote = Annotated[str, Meta(pattern=QUOTE)]
Limit = Annotated[int, Meta(ge=0)] | Percent
Rate = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Scalar = str | int | float | bool
Scalars = Annotated[list[Scalar], Meta(min_length=1)]
RowColumns = Annotated[list[Literal["instruction", "input", "response"]], Meta(min_length=1)]


class StrictStruct(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base struct of every part of a recipe: frozen, and refuses unknown keys."""
