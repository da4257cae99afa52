"""Arrow: files of the IPC formats, as a stream (which the datasets library writes) or with a footer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alpaqual.compression import compression_of, open_bytes
from alpaqual.errors import MachineError
from alpaqual.read_options import PLAIN, ReadOptions
from alpaqual.sources._reading import size_of

_BATCH = 1024
_FILE_START = b"ARROW1"
_STREAM_ENDS = (b"\xff\xff\xff\xff\x00\x00\x00\x00", b"\x00\x00\x00\x00")
_INSTALL = "pip install 'alpaqual[arrow]'"


class Plugin:
    """Yields rows in batches: memory does not grow with the file."""

    VERSION = 1
    SUFFIXES = (".arrow", ".feather")
    CELLS = "json"
    OPTIONS = ("split", "max_row_bytes")

    def __init__(self, options: ReadOptions = PLAIN) -> None:
        self.most = options.max_row_bytes

    def rows(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        """Every row; dates and times are ISO texts, bytes are Base64, decimals are numbers."""
        arrow = _pyarrow()
        number = 0
        try:
            with _batches(arrow, file) as batches:
                for whole in batches:
                    for start in range(0, whole.num_rows, _BATCH):
                        for row, reason in self._read(arrow, whole.slice(start, _BATCH)):
                            number += 1
                            yield row, f"row {number}: {reason}" if row is None else ""
        except (arrow.ArrowException, EOFError, OSError) as error:
            raise ValueError(f"not an Arrow file that can be read to its end: {str(error).splitlines()[0]}") from None

    def places(self, file: str) -> Iterator[str]:
        """The place of each row that `rows` yields."""
        return (f"row {number}" for number, _ in enumerate(self.rows(file), 1))

    def _read(self, arrow: Any, batch: Any) -> Iterator[tuple[dict[str, Any] | None, str]]:
        small = batch.nbytes <= self.most
        columns = [_column(arrow, array) for array in batch.columns]
        for index in range(batch.num_rows):
            row: dict[str, Any] = {}
            reason = ""
            for name, read in zip(batch.schema.names, columns, strict=True):
                try:
                    row[name] = read(index)
                except UnicodeDecodeError:
                    reason = reason or f"{name}: not UTF-8"
                except ValueError as error:
                    reason = reason or f"{name}: {error}"
            if not reason and not small and len(json.dumps(row, ensure_ascii=False)) > self.most:
                reason = f"more than {size_of(self.most)}"
            yield (None, reason) if reason else (row, "")


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise MachineError(f"reading Arrow needs pyarrow: {_INSTALL}") from None
    return pyarrow


@contextmanager
def _batches(arrow: Any, file: str) -> Iterator[Iterator[Any]]:
    """The record batches of a file in either IPC format."""
    if compression_of(file) is None:
        source = arrow.memory_map(file)
    else:
        with open_bytes(file) as stream:
            source = arrow.BufferReader(stream.read())
    with source:
        start = source.read(len(_FILE_START))
        if start != _FILE_START:
            size = source.size()
            source.seek(max(size - len(_STREAM_ENDS[0]), 0))
            if not source.read().endswith(_STREAM_ENDS):
                raise ValueError("the Arrow stream has no end mark: the file is truncated; write it again")
        source.seek(0)
        reader = arrow.ipc.open_file(source) if start == _FILE_START else arrow.ipc.open_stream(source)
        names = reader.schema.names
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two columns are named '{twice}'")
        yield _of_file(reader) if start == _FILE_START else iter(reader)


def _of_file(reader: Any) -> Iterator[Any]:
    return (reader.get_batch(index) for index in range(reader.num_record_batches))


def _column(arrow: Any, array: Any) -> Callable[[int], Any]:
    """A function from a row's index in a batch to its value."""
    kinds = arrow.types
    if kinds.is_temporal(array.type) and not kinds.is_interval(array.type) and not kinds.is_duration(array.type):
        array = array.cast(arrow.string())
    convert = _converter(arrow, array.type)
    try:
        values = array.to_pylist()
    except ValueError:
        # One value that Python has no equivalent of concerns its row alone.
        values = None
    change = convert or _same
    if values is None:
        return lambda index: change(array[index].as_py())
    return values.__getitem__ if convert is None else lambda index: change(values[index])


def _converter(arrow: Any, kind: Any) -> Callable[[Any], Any] | None:
    """What makes a JSON value of a value of an Arrow type; None where it is one already."""
    kinds = arrow.types
    if getattr(kind, "extension_name", "") == "arrow.json":
        return _optional(json.loads)
    if isinstance(kind, arrow.BaseExtensionType):
        return _optional(str)
    if kinds.is_dictionary(kind) or kinds.is_run_end_encoded(kind):
        return _converter(arrow, kind.value_type)
    if kinds.is_struct(kind):
        fields = [(field.name, _converter(arrow, field.type)) for field in kind]
        inside = {name: convert for name, convert in fields if convert is not None}
        return _optional(_struct(inside)) if inside else None
    if kinds.is_map(kind):
        item = _converter(arrow, kind.item_type) or _same
        return _optional(lambda pairs: {str(key): item(value) for key, value in pairs})
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind) or _is_list_view(kinds, kind):
        one = _converter(arrow, kind.value_type)
        return None if one is None else _optional(lambda values: [one(value) for value in values])
    is_text = kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)
    if is_text or kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind) or kinds.is_null(kind):
        return None
    if kinds.is_decimal(kind):
        return _optional(int if kind.scale <= 0 else float)
    return _optional(_shown)


def _is_list_view(kinds: Any, kind: Any) -> bool:
    return bool(kinds.is_list_view(kind) or kinds.is_large_list_view(kind))


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def _struct(inside: dict[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    return lambda value: {key: inside[key](item) if key in inside else item for key, item in value.items()}


def _same(value: Any) -> Any:
    return value


def _shown(value: Any) -> Any:
    """A date, a time, bytes or another value as a text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
