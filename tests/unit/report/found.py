"""Results made from the parts that a test names; the rest is empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from alpaqual.report.report import FailingRow, Report
from alpaqual.results.record import Record
from alpaqual.results.results import Results

R = TypeVar("R", bound=Record)


def found(kind: type[R], **values: Any) -> R:
    """A part of the results with these values, by the keys of `results.json`; what is not named is 0, empty or null."""
    return msgspec.convert(_filled(inspect.type_info(kind), values), kind)


def report(results: Mapping[str, Any], examples: Mapping[str, Any] | None = None) -> Report:
    """A report of these results, with failing rows by rule."""
    rows = {rule: [FailingRow(**row) for row in rows] for rule, rows in (examples or {}).items()}
    return Report(found(Results, **results), rows)


def _filled(kind: inspect.Type, value: Any) -> Any:
    if isinstance(kind, inspect.Metadata):
        return _filled(kind.type, value)
    if isinstance(kind, inspect.StructType):
        return _struct(kind, value)
    if isinstance(kind, inspect.ListType):
        return [_filled(kind.item_type, each) for each in value or ()]
    if isinstance(kind, inspect.DictType):
        return {key: _filled(kind.value_type, each) for key, each in (value or {}).items()}
    if isinstance(kind, inspect.UnionType):
        return _union(kind, value)
    return _scalar(kind) if value is None else value


def _struct(kind: inspect.StructType, value: Any) -> dict[str, Any]:
    given = dict(value or {})
    filled = {
        field.encode_name: _filled(field.type, given.get(field.encode_name))
        for field in kind.fields
        if field.required or field.encode_name in given
    }
    unknown = given.keys() - {field.encode_name for field in kind.fields} - {kind.tag_field}
    assert not unknown, f"{kind.cls.__name__} has no {unknown}"
    return {kind.tag_field: kind.tag, **filled} if kind.tag_field else filled


def _union(kind: inspect.UnionType, value: Any) -> Any:
    if value is None:
        return None
    structs = [each for each in kind.types if isinstance(each, inspect.StructType)]
    for each in structs:
        if len(structs) == 1 or (each.tag_field and value[each.tag_field] == each.tag):
            return _struct(each, value)
    lists = [each for each in kind.types if isinstance(each, inspect.ListType)]
    return _filled(lists[0], value) if lists and isinstance(value, list | tuple) else value


def _scalar(kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.EnumType):
        return next(iter(kind.cls)).value
    if isinstance(kind, inspect.LiteralType):
        return kind.values[0]
    empty = {inspect.IntType: 0, inspect.FloatType: 0.0, inspect.StrType: "", inspect.BoolType: False}
    return empty[type(kind)]
