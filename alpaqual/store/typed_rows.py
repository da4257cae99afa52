"""JSON rows as typed columns: Arrow tables, Parquet files, and folders that the datasets library opens.

A column has the type of all its values: text, truth value, 64-bit whole number, double, list, or struct with the keys of all
its objects. A column of several kinds, of larger whole numbers, or of objects with many different keys holds JSON texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaqual.errors import MachineError
from alpaqual.values import replace_surrogates

JSON_COLUMNS = ("tools",)
"""Columns that always hold JSON texts: JSON Schemas of tools lose their meaning when each has the keys of all."""
_WITHOUT_ROWS = ("id", "instruction", "input", "output")
"""Columns of files without rows, which name none."""
_MOST_KEYS = 64
_MOST_LEVELS = 12
_EXACT = 2**53
_LARGEST = 2**63
_BATCH = 1_000
_GROUP = 20
"""Batches in a row group of Parquet."""


@dataclass(frozen=True)
class ListKind:
    """Lists whose items are of one kind."""

    item: Kind


@dataclass(frozen=True)
class StructKind:
    """Objects with keys in order."""

    fields: dict[str, Kind]


Kind = str | ListKind | StructKind
"""null, text, truth, small (whole numbers that a double holds), whole, double, json; or of lists and objects."""


def kind_of_value(value: Any, levels: int = 0) -> Kind:
    """The kind of one value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, str):
        return "text"
    if isinstance(value, float):
        return "double"
    if isinstance(value, int):
        return "small" if abs(value) <= _EXACT else "whole" if -_LARGEST <= value < _LARGEST else "json"
    if levels == _MOST_LEVELS:
        return "json"
    if isinstance(value, list):
        return ListKind(common_kind_of(kind_of_value(each, levels + 1) for each in value))
    # A struct without fields cannot be written, and NUL ends a name in Arrow's C interface.
    if not value or len(value) > _MOST_KEYS or any("\0" in key for key in value):
        return "json"
    return StructKind({key: kind_of_value(each, levels + 1) for key, each in value.items()})


def common_kind_of(kinds: Iterable[Kind]) -> Kind:
    """The kind that has the values of all."""
    found: Kind = "null"
    for kind in kinds:
        found = common_kind(found, kind)
    return found


def common_kind(one: Kind, other: Kind) -> Kind:
    """The kind that has the values of both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if isinstance(one, ListKind) and isinstance(other, ListKind):
        return ListKind(common_kind(one.item, other.item))
    if isinstance(one, StructKind) and isinstance(other, StructKind):
        fields = dict(one.fields)
        for key, kind in other.fields.items():
            fields[key] = common_kind(fields.get(key, "null"), kind)
        return StructKind(fields) if len(fields) <= _MOST_KEYS else "json"
    numbers = {one, other} if isinstance(one, str) and isinstance(other, str) else set()
    if numbers == {"small", "whole"}:
        return "whole"
    return "double" if numbers == {"small", "double"} else "json"


class Columns:
    """The columns of JSON lines, found from all of them."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}

    @classmethod
    def of(cls, files: Iterable[Path]) -> Columns:
        """The columns of files of JSON Lines together."""
        columns = cls()
        for file in files:
            for row in rows_of(file):
                columns.add(row)
        # A table needs a column.
        columns.kinds = columns.kinds or dict.fromkeys(_WITHOUT_ROWS, "text")
        return columns

    def add(self, row: dict[str, Any]) -> None:
        """Widen the columns to a row."""
        for key, value in row.items():
            known = self.kinds.get(key, "null")
            if not (key in self.kinds and _fits(known, value)):
                kind = "json" if key in JSON_COLUMNS and value is not None else kind_of_value(value)
                self.kinds[key] = common_kind(known, kind)

    def schema(self, arrow: Any) -> Any:
        """The Arrow schema."""
        return arrow.schema([(key, _arrow_type(arrow, kind)) for key, kind in self.kinds.items()])

    def batches(self, arrow: Any, rows: Iterable[dict[str, Any]], size: int = _BATCH) -> Iterator[Any]:
        """The rows as record batches."""
        schema = self.schema(arrow)
        converters = {key: _converter(kind) for key, kind in self.kinds.items()}
        for some in _in_batches(rows, size):
            arrays = [
                arrow.array([convert(row.get(key)) for row in some], type=schema.field(key).type)
                for key, convert in converters.items()
            ]
            yield arrow.RecordBatch.from_arrays(arrays, schema=schema)


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON Lines."""
    with file.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


def table_of(files: Sequence[Path]) -> Any:
    """The rows of files of JSON Lines as one Arrow table. Raises MachineError without pyarrow."""
    arrow = pyarrow()
    columns = Columns.of(files)
    batches = columns.batches(arrow, (row for file in files for row in rows_of(file)))
    return arrow.Table.from_batches(batches, schema=columns.schema(arrow))


def write_parquet(columns: Columns, source: Path, target: Path) -> None:
    """Write JSON Lines as a Parquet file. Raises MachineError without pyarrow."""
    arrow = pyarrow()
    from pyarrow.parquet import ParquetWriter

    with ParquetWriter(target, columns.schema(arrow), compression="zstd") as writer:
        for batch in columns.batches(arrow, rows_of(source), _BATCH * _GROUP):
            writer.write_batch(batch)


def write_arrow(columns: Columns, source: Path, target: Path) -> None:
    """Write JSON Lines as an Arrow stream, as the datasets library does. Raises MachineError without pyarrow."""
    arrow = pyarrow()
    with target.open("wb") as stream, arrow.ipc.new_stream(stream, columns.schema(arrow)) as writer:
        for batch in columns.batches(arrow, rows_of(source)):
            writer.write_batch(batch)


def pyarrow(what: str = "this") -> Any:
    """The package pyarrow.

    Raises MachineError where it is not installed; `what` needs it.
    """
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise MachineError(f"{what} needs pyarrow: pip install 'alpaqual[arrow]'") from None
    return pyarrow


def _fits(kind: Kind, value: Any) -> bool:
    """Whether a value widens no kind. Nearly every value of a file is of this sort, and asking is cheap."""
    if value is None or kind == "json":
        return True
    if isinstance(kind, StructKind):
        return (
            type(value) is dict
            and bool(value)
            and all(key in kind.fields and _fits(kind.fields[key], each) for key, each in value.items())
        )
    if isinstance(kind, ListKind):
        return type(value) is list and all(_fits(kind.item, each) for each in value)
    return kind == "text" and type(value) is str


def _arrow_type(arrow: Any, kind: Kind) -> Any:
    if isinstance(kind, ListKind):
        return arrow.list_(_arrow_type(arrow, kind.item))
    if isinstance(kind, StructKind):
        return arrow.struct([(replace_surrogates(key), _arrow_type(arrow, each)) for key, each in kind.fields.items()])
    types = {"truth": arrow.bool_(), "small": arrow.int64(), "whole": arrow.int64(), "double": arrow.float64()}
    return types.get(kind, arrow.string())


def _converter(kind: Kind) -> Callable[[Any], Any]:
    """A function that makes of a value what its column holds."""
    if kind == "json":
        return lambda value: None if value is None else replace_surrogates(json.dumps(value, ensure_ascii=False))
    if kind == "text":
        return lambda value: None if value is None else replace_surrogates(value)
    if kind == "double":
        return lambda value: None if value is None else float(value)
    if isinstance(kind, ListKind):
        item = _converter(kind.item)
        return lambda value: None if value is None else [item(each) for each in value]
    if isinstance(kind, StructKind):
        fields = [(key, replace_surrogates(key), _converter(each)) for key, each in kind.fields.items()]
        return lambda value: (
            None if value is None else {stored: convert(value.get(key)) for key, stored, convert in fields}
        )
    return lambda value: value


def _in_batches(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
