"""Files of every format with hostile values, written by Hypothesis: each row is read as it was written, or refused alone.

What was written is the oracle. So the values of a row depend on no other row, on no broken line between, and on no order.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import math
import random
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
import zstandard
from conftest import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reading_cases import quarantine, rows_of
from tiers import examples
from written import WRITTEN

from alpaqual.contracts import Engine
from alpaqual.engines import open_engine
from alpaqual.errors import QueryError
from alpaqual.quote import name
from alpaqual.sources import open_source
from alpaqual.values import Scan, SourceFile, replace_surrogates

COLUMNS = ("instruction", "output", "a", "A", "x y", 'q"', "ü")
SPECIAL = [
    "",
    " ",
    "null",
    "NaN",
    "#",
    "007",
    "1e5",
    "true",
    '"',
    '""',
    "'",
    ",",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\x00",
    "\u2028",
    "\ufeff",
    "\x1a",
]
PIECES = st.sampled_from(SPECIAL) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
TEXTS = st.lists(PIECES, max_size=3).map("".join)
JSON_TEXTS = TEXTS | st.sampled_from(["\ud800", "a\udc00b", "\ud83d\ude00"])
NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([2**53 + 1, 2**63, -(2**63), 2**64, 0.1, -0.0])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | JSON_TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(JSON_TEXTS, inner, max_size=2),
    max_leaves=4,
)
BROKEN_JSON = st.sampled_from(
    ["{", "{oops", "[1]", "7", "null", '"text"', '{"a": 1}}', '{"a": 01}', '{"a": "\t"}', "\x00", '{"a" 1}']
)
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda content: content,
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "zstd": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda content: _zipped(content),
}
COMPRESSION = st.sampled_from(["none", "none", *COMPRESSED])


def _zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("d", content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    opened = open_engine(threads=1)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("written")


def read(engine: Engine, path: Path, kind: str, columns: Sequence[str]) -> dict[int, dict[str, Any] | None]:
    """Position -> values of each row of a file; None for a row in quarantine."""
    plugin = open_source(kind)
    scan = Scan(
        "found", "source", kind, plugin.CELLS, (SourceFile(str(path), "", path.stat().st_size),), tuple(columns)
    )
    if engine.reads(kind):
        try:
            found = engine.describe(scan)
        except QueryError:
            pass
        else:
            assert set(columns) <= set(found.columns)
            scan = Scan(**{**vars(scan), "file_rows": found.file_rows or ()})
    aside = engine.load(scan, plugin.rows)
    rows: dict[int, dict[str, Any] | None] = dict.fromkeys(position for position, _ in aside)
    for row in engine.facts(f"SELECT position, {', '.join(map(name, columns))} FROM found"):
        position = row.pop("position")
        assert position not in rows
        if plugin.CELLS == "json":
            row = {key: None if value is None else json.loads(value) for key, value in row.items()}
        rows[position] = row
    engine.drop("found")
    return dict(sorted(rows.items()))


def plain(value: Any) -> Any:
    """A value as it can be stored and compared: no lone surrogates, NaN as a word."""
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def compare(
    found: dict[int, dict[str, Any] | None], written: Sequence[dict[str, Any] | None], columns: Sequence[str]
) -> None:
    assert list(found) == list(range(1, len(written) + 1))
    wanted = [None if row is None else {column: plain(row.get(column)) for column in columns} for row in written]
    assert [plain(row) for row in found.values()] == wanted


def columns_of(rows: Sequence[dict[str, Any] | None]) -> list[list[str]]:
    """The columns of rows, without those that differ from another in case alone: a table has one of them."""
    every = list(dict.fromkeys(key for row in rows for key in row or ()))
    sets = ([column for column in every if column != left_out] for left_out in ("a", "A"))
    return [columns for columns in sets if columns]


ROWS = st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=5)


@given(
    lines=st.lists(ROWS | BROKEN_JSON, min_size=1, max_size=12),
    ascii=st.booleans(),
    blank=st.sampled_from(["", "\n", " \n"]),
    end=st.sampled_from(["\n", "\r\n"]),
    compression=COMPRESSION,
)
@settings(max_examples=examples(60), deadline=None)
def test_json_lines(
    engine: Engine, folder: Path, lines: list[Any], ascii: bool, blank: str, end: str, compression: str
) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=ascii) for line in lines]
    content = "".join(replace_surrogates(text) + end + blank for text in texts).encode()
    (folder / "d.jsonl").write_bytes(COMPRESSED[compression](content))
    written = [None if isinstance(line, str) else line for line in lines]
    for columns in columns_of(written):
        compare(read(engine, folder / "d.jsonl", "jsonl", columns), written, columns)
    WRITTEN.add("jsonl", written)


@given(
    items=st.lists(ROWS | st.sampled_from([1, None, [], "text"]), min_size=1, max_size=12),
    indent=st.sampled_from([None, 1]),
    compression=COMPRESSION,
)
@settings(max_examples=examples(60), deadline=None)
def test_json(engine: Engine, folder: Path, items: list[Any], indent: int | None, compression: str) -> None:
    (folder / "d.json").write_bytes(COMPRESSED[compression](json.dumps(items, indent=indent).encode()))
    written = [item if isinstance(item, dict) else None for item in items]
    for columns in columns_of(written):
        compare(read(engine, folder / "d.json", "json", columns), written, columns)
    WRITTEN.add("json", written)


@given(data=st.data(), kind=st.sampled_from(["csv", "tsv"]), compression=COMPRESSION)
@settings(max_examples=examples(80), deadline=None)
def test_delimited(engine: Engine, folder: Path, data: st.DataObject, kind: str, compression: str) -> None:
    columns = data.draw(
        st.lists(st.sampled_from(["instruction", "output", "b", "x y", 'q"', "ü"]), min_size=2, max_size=4, unique=True)
    )
    good = st.lists(TEXTS, min_size=len(columns), max_size=len(columns))
    broken = st.lists(TEXTS, min_size=1, max_size=6).filter(lambda cells: len(cells) != len(columns))
    records = data.draw(st.lists(good | good | broken, min_size=1, max_size=10))
    stream = io.StringIO(newline="")
    # csv.writer leaves a lone carriage return without quotes where lines end otherwise.
    returns = any("\r" in cell for cells in records for cell in cells)
    quoting = csv.QUOTE_ALL if returns else data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    csv.writer(stream, delimiter="\t" if kind == "tsv" else ",", quoting=quoting, lineterminator=end).writerows(
        [columns, *records]
    )
    text = stream.getvalue()
    if data.draw(st.booleans()):
        text = text.removesuffix(end)
    path = folder / f"d.{kind}"
    path.write_bytes(COMPRESSED[compression](text.encode()))
    written = [
        {column: cell or None for column, cell in zip(columns, cells, strict=True)}
        if len(cells) == len(columns)
        else None
        for cells in records
    ]
    compare(read(engine, path, kind, columns), written, columns)
    WRITTEN.add(kind, written)


def typed(rows: Sequence[dict[str, Any]]) -> pa.Table:
    kinds = [
        ("instruction", pa.string()),
        ("output", pa.large_string()),
        ("number", pa.int64()),
        ("large", pa.uint64()),
        ("fraction", pa.float64()),
        ("truth", pa.bool_()),
        ("nested", pa.list_(pa.struct([("k", pa.string()), ("v", pa.int64())]))),
        ("nothing", pa.null()),
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(kinds))


TYPED = st.fixed_dictionaries(
    {
        "instruction": TEXTS | st.none(),
        "output": TEXTS | st.none(),
        "number": st.integers(-(2**63), 2**63 - 1) | st.none(),
        "large": st.integers(0, 2**64 - 1) | st.none(),
        "fraction": st.floats() | st.none(),
        "truth": st.booleans() | st.none(),
        "nested": st.none()
        | st.lists(st.none() | st.fixed_dictionaries({"k": TEXTS, "v": st.integers(-9, 9) | st.none()}), max_size=2),
        "nothing": st.none(),
    }
)


@given(rows=st.lists(TYPED, min_size=1, max_size=12), order=st.randoms(), batch=st.integers(1, 5))
@settings(max_examples=examples(50), deadline=None)
def test_parquet(engine: Engine, folder: Path, rows: list[dict[str, Any]], order: random.Random, batch: int) -> None:
    columns = order.sample(list(rows[0]), len(rows[0]))
    pa.parquet.write_table(typed(rows).select(columns), folder / "d.parquet", row_group_size=batch)
    compare(read(engine, folder / "d.parquet", "parquet", columns), rows, columns)
    WRITTEN.add("parquet", rows)


@given(
    rows=st.lists(TYPED, min_size=1, max_size=12),
    order=st.randoms(),
    batch=st.integers(1, 5),
    stream=st.booleans(),
    compression=COMPRESSION,
)
@settings(max_examples=examples(50), deadline=None)
def test_arrow(
    engine: Engine,
    folder: Path,
    rows: list[dict[str, Any]],
    order: random.Random,
    batch: int,
    stream: bool,
    compression: str,
) -> None:
    columns = order.sample(list(rows[0]), len(rows[0]))
    table, buffer = typed(rows).select(columns), io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(buffer, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    (folder / "d.arrow").write_bytes(COMPRESSED[compression](buffer.getvalue()))
    compare(read(engine, folder / "d.arrow", "arrow", columns), rows, columns)
    WRITTEN.add("arrow", rows)


@given(data=st.data())
@settings(max_examples=examples(6), deadline=None)
def test_a_whole_run_accounts_for_every_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """The texts of `rows`, and the rows in quarantine, are those of the lines."""
    cells = JSON_TEXTS | st.none() | st.integers() | st.just([])
    rows = st.fixed_dictionaries({"instruction": cells, "output": cells}, optional={"input": cells})
    lines = data.draw(st.lists(rows | rows | BROKEN_JSON, max_size=12))
    lines = data.draw(st.permutations([*lines, {"instruction": "q", "output": "a", "input": ""}]))
    project = Project(tmp_path_factory.mktemp("run"))
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    project.write("d.jsonl", "".join(f"{text}\n" for text in texts))
    project.ask("d.jsonl", source="max_quarantined: 100%")
    run = project.run()
    good = [
        line
        for line in lines
        if isinstance(line, dict) and all(value is None or isinstance(value, str) for value in line.values())
    ]
    wanted = [tuple(plain(line.get(key)) for key in ("instruction", "input", "output")) for line in good]
    assert rows_of(run) == wanted
    assert len(quarantine(run)) == len(lines) - len(good)
    WRITTEN.add("jsonl, a whole run", [line if line in good else None for line in lines])
