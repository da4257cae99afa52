"""The base of every part of `results.json`, and the kinds of values that the parts share."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""A number of rows, calls, tokens or bytes."""

Share = Annotated[float, Meta(ge=0, le=1)]
"""A part of a whole, from 0 to 1."""

Amount = Annotated[float, Meta(ge=0, le=1e30)]
"""US dollars, seconds or a speed."""

Number = Annotated[float, Meta(ge=-1e30, le=1e30)]
"""A score, a loss or a coefficient."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the results.

    `part.rows` and `part["rows"]` read the same value: the keys are those of `results.json`, and a part is a read-only mapping
    of them. `to_dict()` gives plain dicts and lists.
    """

    def __getitem__(self, key: str) -> Any:
        return getattr(self, _attributes(type(self))[key])

    def __iter__(self) -> Iterator[str]:
        for key, attribute in _attributes(type(self)).items():
            if not (self.__struct_config__.omit_defaults and getattr(self, attribute) is None):
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return any(each == key for each in self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default` where the part has no such key."""
        attribute = _attributes(type(self)).get(key)
        return default if attribute is None else getattr(self, attribute)

    def keys(self) -> KeysView[str]:
        """Return the keys, as in `results.json`."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:
        """Return the values."""
        return ValuesView(self)

    def items(self) -> ItemsView[str, Any]:
        """Return the keys with their values."""
        return ItemsView(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the part as plain dicts, lists, texts and numbers."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


Mapping.register(Record)


@cache
def _attributes(kind: type[Record]) -> dict[str, str]:
    """The attribute of each key of a kind of part, in the order of the file."""
    tag = kind.__struct_config__.tag_field
    return ({tag: tag} if tag else {}) | {each.encode_name: each.name for each in msgspec.structs.fields(kind)}
