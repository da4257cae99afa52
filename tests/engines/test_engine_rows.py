"""What every engine must do: the same rows of the same files and statements, compared with plain Python."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from alpaqual import registry
from alpaqual.contracts import Engine
from alpaqual.errors import QueryError
from alpaqual.values import Scan, SourceFile

ROWS: list[dict[str, Any]] = [
    {"q": "plain", "a": "text", "s": 1.5},
    {"q": 'quotes " and, commas', "a": "line one\nline two\r\nthree", "s": 2.0},
    {"q": " Übersetze 🎉 \\ | ' ", "a": "null", "s": None},
    {"q": "\t", "a": "\u2028 end", "s": -3.0},
    *({"q": f"q{i}", "a": f"a{i}", "s": float(i)} for i in range(4, 50)),
]


def to_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    def cell(value: Any) -> str:
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    lines = [delimiter.join(rows[0]), *(delimiter.join(map(cell, row.values())) for row in rows), ""]
    return "\n".join(lines).encode()


def to_parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_parquet(buffer)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "csv": to_csv,
    "json": lambda rows: json.dumps(rows).encode(),
    "jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode(),
    "parquet": to_parquet,
    "tsv": lambda rows: to_csv(rows, "\t"),
}
FORMATS = sorted(WRITERS)
ENGINES = registry.names("engines")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    opened: Engine = registry.find("engines", request.param)(memory=None, threads=2, spill=tmp_path / "spill")
    yield opened
    opened.close()


def scan_of(
    kind: str, files: list[str], columns: tuple[str, ...], rows: tuple[int, ...], *, copied: bool = True
) -> Scan:
    plugin = registry.find("sources", kind)
    listed = tuple(SourceFile(file, "", 0) for file in files)
    return Scan("cells", "source", kind, plugin.CELLS, listed, columns, rows, copied or plugin.CELLS != "typed")


def load(engine: Engine, scan: Scan) -> list[tuple[int, str]]:
    return list(engine.load(scan, registry.find("sources", scan.format)().rows))


def all_rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    return [row for batch in engine.rows(query, 7) for row in batch]


def value_of(cell: Any, cells: str) -> Any:
    if cells == "json" and isinstance(cell, str):
        return json.loads(cell)
    if cells == "text" and isinstance(cell, str):
        try:
            return float(cell)
        except ValueError:
            return cell
    return cell


def write(folder: Path, kind: str, content: bytes, name: str = "d") -> str:
    path = folder / f"{name}.{kind}"
    path.write_bytes(content)
    return str(path)


def test_every_format_that_an_engine_reads_is_tried() -> None:
    read = {
        kind
        for kind in registry.names("sources")
        if any(registry.find("engines", each).reads(kind) for each in ENGINES)
    }
    assert read == set(FORMATS)


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_scan_gives_the_rows_of_the_file(engine: Engine, tmp_path: Path, kind: str, copied: bool) -> None:
    file = write(tmp_path, kind, WRITERS[kind](ROWS))
    found = engine.describe(scan_of(kind, [file], (), ()))
    assert list(found.columns) == ["q", "a", "s"]
    assert found.file_rows in (None, (len(ROWS),))
    # Other columns than the file's, in another order: a scan reads what it names.
    scan = scan_of(kind, [file], ("s", "a"), (len(ROWS),), copied=copied)
    assert load(engine, scan) == []
    read = all_rows(engine, 'SELECT position, "s", "a" FROM cells ORDER BY position')
    assert [row[0] for row in read] == list(range(1, len(ROWS) + 1))
    assert [tuple(value_of(cell, scan.cells) for cell in row[1:]) for row in read] == [
        (row["s"], row["a"]) for row in ROWS
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_positions_continue_over_files(engine: Engine, tmp_path: Path, kind: str) -> None:
    parts = [ROWS[:20], ROWS[20:21], ROWS[21:]]
    files = [write(tmp_path, kind, WRITERS[kind](part), f"part{index}") for index, part in enumerate(parts)]
    scan = scan_of(kind, files, ("q",), tuple(map(len, parts)))
    load(engine, scan)
    read = all_rows(engine, "SELECT position, q FROM cells ORDER BY position")
    assert [(position, value_of(q, scan.cells)) for position, q in read] == [
        (position, row["q"]) for position, row in enumerate(ROWS, 1)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_many_rows_keep_their_positions(engine: Engine, tmp_path: Path, kind: str) -> None:
    """Enough rows for several threads to read one file."""
    rows = [{"q": f"q{i}", "a": "x" * 200} for i in range(40_000)]
    scan = scan_of(kind, [write(tmp_path, kind, WRITERS[kind](rows))], ("q",), (len(rows),))
    load(engine, scan)
    read = dict(all_rows(engine, "SELECT position, q FROM cells"))
    assert {position: value_of(q, scan.cells) for position, q in read.items()} == {
        position: row["q"] for position, row in enumerate(rows, 1)
    }


def test_a_broken_line_concerns_itself_alone(engine: Engine, tmp_path: Path) -> None:
    file = write(tmp_path, "jsonl", b'{"q": "x", "a": "b"}\n{oops\n{"q": "y", "a": "c"}\n')
    unreadable = load(engine, scan_of("jsonl", [file], ("q",), ()))
    assert [position for position, _ in unreadable] == [2]
    assert unreadable[0][1].startswith("d.jsonl line 2: broken JSON")
    assert all_rows(engine, "SELECT position, q ->> '$' FROM cells ORDER BY position") == [(1, "x"), (3, "y")]


def test_a_format_that_only_its_source_reads_comes_row_by_row(engine: Engine, tmp_path: Path) -> None:
    def rows(file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            yield ({"q": line, "s": len(line)}, "") if line else (None, "line is empty")

    path = write(tmp_path, "lines", "one\n\nthr\u00e9e".encode())
    scan = Scan("cells", "source", "lines", "json", (SourceFile(path, "", 0),), ("q", "s", "missing"))
    assert not engine.reads("lines") and engine.scan_sql(scan) is None
    assert list(engine.load(scan, rows)) == [(2, "d.lines line is empty")]
    read = all_rows(engine, "SELECT position, q ->> '$', CAST(s AS BIGINT), missing FROM cells ORDER BY position")
    assert read == [(1, "one", 3, None), (3, "thr\u00e9e", 5, None)]


def test_damaged_files_are_named(engine: Engine, tmp_path: Path) -> None:
    whole = write(tmp_path, "parquet", to_parquet(ROWS), "whole")
    content = bytearray(to_parquet([{"q": "x" * 50 + str(i), "a": "y"} for i in range(5_000)]))
    content[200:2_000] = b"\xff" * 1_800
    damaged = write(tmp_path, "parquet", bytes(content), "damaged")
    scan = scan_of("parquet", [whole, damaged], ("q",), (len(ROWS), 5_000))
    assert [path for path, _ in engine.check_files(scan)] == [damaged]


def test_tables_views_and_exports_hold_the_same_rows(engine: Engine, tmp_path: Path) -> None:
    engine.create("numbers", "SELECT 1 AS n, 'one' AS word WHERE FALSE", "numbers")
    engine.insert("numbers", [(n, f"it's {n}") for n in range(2_500)], "numbers")
    engine.table("kept", "SELECT n, word FROM numbers WHERE n % 2 = 0", tmp_path / "kept.parquet", "kept")
    assert pl.read_parquet(tmp_path / "kept.parquet").rows() == [(n, f"it's {n}") for n in range(0, 2_500, 2)]
    engine.view("again", [tmp_path / "kept.parquet"])
    assert engine.facts("SELECT COUNT(*) AS rows, SUM(n) AS total FROM again", "count") == [
        {"rows": 1_250, "total": sum(range(0, 2_500, 2))}
    ]
    assert dict(engine.columns("again")).keys() == {"n", "word"}
    engine.export("SELECT n, word FROM again ORDER BY n", tmp_path / "rows.jsonl", "export")
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"n": n, "word": f"it's {n}"} for n in range(0, 2_500, 2)]
    for table in ("numbers", "again", "kept", "never_made"):
        engine.drop(table)
    with pytest.raises(QueryError, match="numbers"):
        engine.facts("SELECT * FROM numbers", "gone")


def test_functions_that_decide_rows_are_those_of_python(engine: Engine) -> None:
    """md5, lengths in code points, substrings and byte order: selection depends on them."""
    texts = ["", "a", "Z", "é", "ß", "日本", "🎉x", "a'b", "\t", "İ"]
    engine.create("texts", "SELECT '' AS t WHERE FALSE", "texts")
    engine.insert("texts", [(text,) for text in texts], "texts")
    found = all_rows(
        engine, "SELECT t, MD5(t), LENGTH(t), CONTAINS(t, 'a'), STARTS_WITH(t, 'a') FROM texts ORDER BY MD5(t)"
    )
    oracle = [(t, hashlib.md5(t.encode()).hexdigest(), len(t), "a" in t, t.startswith("a")) for t in texts]
    assert found == sorted(oracle, key=lambda row: row[1])
    assert [t for (t,) in all_rows(engine, "SELECT t FROM texts ORDER BY t")] == sorted(texts, key=str.encode)


def test_streaming_gives_the_same_rows(engine: Engine) -> None:
    with engine.streaming():
        batches = list(engine.rows("SELECT * FROM RANGE(1000) AS r (n) ORDER BY n", 300))
    assert [len(batch) for batch in batches] == [300, 300, 300, 100]
    assert [n for batch in batches for (n,) in batch] == list(range(1000))
