"""Files of every format, and every kind of trouble in them: a row is loaded, or is in quarantine with its reason."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from conftest import Project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiers import examples, fast_first

import alpaqual
from alpaqual.api import Run
from alpaqual.errors import AlpaqualError, RecipeError

ROWS = [
    {"instruction": "Name a colour.", "input": "", "output": "Blue."},
    {"instruction": 'Übersetze: "Grüße" 🎉', "input": "line one\nline two", "output": "Greetings, \\ and | too"},
    {"instruction": "null", "input": "1, 2", "output": "NULL"},
]
BOM = b"\xef\xbb\xbf"


def line(row: Any) -> str:
    return json.dumps(row) + "\n"


def jsonl(rows: Sequence[Any] = ROWS) -> bytes:
    return "".join(line(row) for row in rows).encode()


def csv_of(rows: Sequence[dict[str, str]] = ROWS, end: str = "\n") -> bytes:
    quoted = [",".join('"' + text.replace('"', '""') + '"' for text in row.values()) for row in rows]
    return end.join([",".join(rows[0]), *quoted, ""]).encode()


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def texts(run: Run) -> list[tuple[str, str, str]]:
    """What a run would train on, in the order of the source."""
    ids = set(run.datasets["full"].polars()["id"])
    rows = alpaqual.api.Rows(run.folder / "tables" / "rows.parquet").polars().sort("n").to_dicts()
    return [(row["instruction"], row["input"] or "", row["response"]) for row in rows if row["id"] in ids]


def quarantine(run: Run) -> list[tuple[int, str]]:
    frame = alpaqual.api.Rows(run.folder / "tables" / "quarantine.parquet").polars()
    return [(row["position"], row["reason"]) for row in frame.sort("source", "position").to_dicts()]


def assert_nothing_lost(run: Run, rows_of_the_files: int) -> None:
    """Every row of the files is a row of the run or in quarantine with a reason; every row of the run has a fate."""
    source = run.results["source"]
    assert source["rows"] + source["quarantined"] == rows_of_the_files
    table = alpaqual.api.Rows(run.folder / "tables" / "rows.parquet").polars()
    aside = quarantine(run)
    assert len(table) == source["rows"]
    assert len(aside) == source["quarantined"]
    assert all(reason for _, reason in aside)
    positions = [n % 10**12 for n in table["n"]] + [position for position, _ in aside]
    if len(source["sources"]) == 1:
        assert sorted(positions) == list(range(1, rows_of_the_files + 1))
    assert table["id"].n_unique() == len(table)
    fates = run.fates.polars()
    assert all(count == len(table) for count in fates.group_by("dataset").len()["len"])
    assert run.results["verdict"] != "pass" or not aside


def loaded(project: Project, file: str, content: bytes | str, rows: int, **asked: Any) -> Run:
    project.write(file, content)
    project.ask(file, **asked)
    run = project.run()
    assert_nothing_lost(run, rows)
    return run


def refused(project: Project, file: str, content: bytes | str, words: str, place: str = "4:11", **asked: Any) -> None:
    """The recipe is refused at `place` with `words` (a regular expression)."""
    project.write(file, content)
    project.ask(file, **asked)
    with pytest.raises(RecipeError) as caught:
        project.run()
    assert [f"{p.line}:{p.column}" for p in caught.value.problems] == [place]
    assert re.search(words, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith(f"{project.recipe}:{place}: ")


# Formats

FORMATS: dict[str, tuple[str, Callable[[], bytes], int]] = {
    "a list": ("d.json", lambda: json.dumps(ROWS, indent=2).encode(), 3),
    "a list in an object": ("d.json", lambda: json.dumps({"version": 2, "data": ROWS}).encode(), 3),
    "an object of objects": ("d.json", lambda: json.dumps({str(i): row for i, row in enumerate(ROWS)}).encode(), 3),
    "a single object": ("d.json", lambda: json.dumps(ROWS[0], indent=1).encode(), 1),
    "JSON Lines called .json": ("d.json", jsonl, 3),
    "JSON Lines": ("d.jsonl", jsonl, 3),
    "ndjson without a last line end": ("d.ndjson", lambda: jsonl().rstrip(b"\n"), 3),
    "JSON Lines with blank lines": ("d.jsonl", lambda: jsonl().replace(b"\n", b"\n\n  \n"), 3),
    "csv": ("d.csv", csv_of, 3),
    "parquet": ("d.parquet", lambda: parquet(pl.DataFrame(ROWS)), 3),
    "csv, zipped": ("d.csv.gz", lambda: gzip.compress(csv_of()), 3),
    "csv, zst": ("d.csv.zst", lambda: zstandard.compress(csv_of()), 3),
    "a list, zipped": ("d.json.gz", lambda: gzip.compress(json.dumps(ROWS).encode()), 3),
    "a list in an object, zst": ("d.json.zst", lambda: zstandard.compress(json.dumps({"d": ROWS}).encode()), 3),
    "JSON Lines, zipped": ("d.jsonl.gz", lambda: gzip.compress(jsonl()), 3),
    "JSON Lines, zst": ("d.jsonl.zst", lambda: zstandard.compress(jsonl()), 3),
    "a list after a BOM": ("d.json", lambda: BOM + json.dumps(ROWS).encode(), 3),
    "JSON Lines after a BOM": ("d.jsonl", lambda: BOM + jsonl(), 3),
    "csv after a BOM": ("d.csv", lambda: BOM + csv_of(), 3),
    "JSON Lines with CRLF": ("d.jsonl", lambda: jsonl().replace(b"\n", b"\r\n"), 3),
    "csv with CRLF": ("d.csv", lambda: csv_of(end="\r\n"), 3),
}


@pytest.mark.parametrize("kind", fast_first(11, FORMATS))
def test_every_format_gives_the_same_rows(project: Project, kind: str) -> None:
    file, content, count = FORMATS[kind]
    run = loaded(project, file, content(), count)
    assert texts(run) == [tuple(row.values()) for row in ROWS[:count]]
    assert run.verdict == "pass"


def test_a_glob_reads_files_in_the_order_of_their_names(project: Project) -> None:
    for number in (2, 1, 3):
        project.write(f"data/part-{number}.jsonl", line({"instruction": f"q{number}", "output": "a"}))
    project.write("data/other.txt", "something else")
    project.ask("data/part-*.jsonl")
    run = project.run()
    assert_nothing_lost(run, 3)
    assert [row[0] for row in texts(run)] == ["q1", "q2", "q3"]


def test_files_of_a_glob_may_have_other_columns(project: Project) -> None:
    project.write("a1.csv", "instruction,output\nq1,a1\n")
    project.write("a2.csv", "output,input,instruction\na2,i2,q2\n")
    project.ask("a*.csv")
    run = project.run()
    assert_nothing_lost(run, 2)
    assert texts(run) == [("q1", "", "a1"), ("q2", "i2", "a2")]


def test_positions_continue_over_parquet_files(project: Project) -> None:
    for part in range(3):
        rows = {"instruction": [f"q{part}-{i}" for i in range(5)], "output": ["a"] * 5}
        project.write(f"p{part}.parquet", parquet(pl.DataFrame(rows)))
    project.ask("p*.parquet")
    run = project.run()
    assert_nothing_lost(run, 15)
    assert [row[0] for row in texts(run)] == [f"q{part}-{i}" for part in range(3) for i in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["a[1]", "b*c", "q?z", "it's a {b}", 'uni "ü" 100%'])
def test_glob_characters_in_the_name_of_a_folder_are_plain(tmp_path: Path, odd: str) -> None:
    """The neighbours are what the names would match as globs."""
    for neighbour in ("a1", "bxc", "qxz"):
        for file, content in (
            ("part-1.jsonl", jsonl()),
            ("d.csv", csv_of()),
            ("d.parquet", parquet(pl.DataFrame(ROWS))),
        ):
            Project(tmp_path / neighbour).write(file, content)
    project = Project(tmp_path / odd)
    for file, content in (
        ("part-*.jsonl", jsonl(ROWS[:1])),
        ("d.csv", csv_of(ROWS[:1])),
        ("d.parquet", parquet(pl.DataFrame(ROWS[:1]))),
    ):
        project.write(file.replace("*", "1"), content)
        project.ask(f'"{file}"')
        run = project.run()
        assert_nothing_lost(run, 1)
        assert texts(run) == [tuple(ROWS[0].values())]
        assert len(run.rows()) == len(run.datasets["full"]) == 1


def test_a_file_whose_name_looks_like_a_glob_is_that_file(project: Project) -> None:
    project.write("data1.jsonl", jsonl())
    assert len(texts(loaded(project, "data[1].jsonl", jsonl(ROWS[:1]), 1))) == 1


def test_named_sources_of_different_formats_are_loaded_together(project: Project) -> None:
    project.write("a.jsonl", jsonl(ROWS[:2]))
    project.write("b.csv", csv_of(ROWS[2:]))
    project.write("c.json", json.dumps([{"instruction": "q", "context": "c", "response": "r"}]))
    project.write(
        "recipe.yaml",
        "version: 1\nname: t\nsources:\n  - {path: a.jsonl, name: alpha}\n  - {path: b.csv, name: beta}\n"
        "  - {path: c.json}\ndatasets: {full: {}}\n",
    )
    run = project.run()
    assert_nothing_lost(run, 4)
    assert [(s["name"], s["rows"]) for s in run.results["source"]["sources"]] == [
        ("alpha", 2),
        ("beta", 1),
        ("source3", 1),
    ]
    assert texts(run) == [*(tuple(row.values()) for row in ROWS), ("q", "c", "r")]


# Layouts

_USER, _ASSISTANT, _SYSTEM = (lambda text, role=role: {"role": role, "content": text} for role in ("user", "assistant", "system"))  # fmt: skip


def test_dolly_and_gpt4llm_are_found_by_their_columns(project: Project) -> None:
    dolly = {"instruction": "q", "context": "c", "response": "r", "category": "open_qa"}
    run = loaded(project, "dolly.jsonl", jsonl([dolly]), 1, more="categories: [{column: category}]")
    assert texts(run) == [("q", "c", "r")]
    assert run.results["categories"]["open_qa"]["rows"] == 1
    gpt4llm = {"instruction": "q", "input": "", "output": "r"}
    assert texts(loaded(project, "g.json", json.dumps([gpt4llm]), 1, source="fields: gpt4llm")) == [("q", "", "r")]


def test_explicit_fields_win_over_found_ones(project: Project) -> None:
    row = {"prompt": "p", "ctx": "c", "answer": "a", "instruction": "no", "output": "no"}
    fields = "fields: {instruction: prompt, input: ctx, response: answer}"
    assert texts(loaded(project, "d.jsonl", jsonl([row]), 1, source=fields)) == [("p", "c", "a")]


def test_the_last_assistant_turn_is_the_response(project: Project) -> None:
    talks = [
        [_USER("hi"), _ASSISTANT("yo")],
        [_SYSTEM("be kind"), _USER("hi"), _ASSISTANT("yo"), _USER("more?"), _ASSISTANT("fin")],
        [_USER("q"), _ASSISTANT("one"), _ASSISTANT("two")],
    ]
    run = loaded(project, "d.jsonl", jsonl([{"messages": talk} for talk in talks]), 3)
    assert texts(run) == [
        ("hi", "", "yo"),
        ("System: be kind\n\nUser: hi\n\nAssistant: yo\n\nUser: more?", "", "fin"),
        ("User: q\n\nAssistant: one", "", "two"),
    ]


UNANSWERED = {
    "no assistant turn": ([_USER("q")], "no assistant turn"),
    "no turn": ([], "no turns"),
    "a question of null": ([_USER(None), _ASSISTANT("a")], "turn 1: content is null where a text should be"),
    "an answer of null": ([_USER("q"), _ASSISTANT(None)], "turn 2: content is null where a text should be"),
    "null": (None, "messages is null where a list of turns should be"),
    "a text": ("hello", "messages: a text that is no JSON"),
    "an object": (_USER("q"), "messages is an object where a list of turns should be"),
    "numbers": ([1, 2], "turn 1 is a number where an object should be"),
}


def test_conversations_without_an_answer_are_quarantined(project: Project) -> None:
    talks = [{"messages": [_USER("q"), _ASSISTANT("a")]}, *({"messages": talk} for talk, _ in UNANSWERED.values())]
    run = loaded(project, "d.jsonl", jsonl([*talks, {"other": 1}]), len(talks) + 1)
    found = quarantine(run)
    for (position, reason), words in zip(found, [words for _, words in UNANSWERED.values()], strict=False):
        assert words in reason, position
    assert [position for position, _ in found] == list(range(2, len(talks) + 2))
    assert found[-1][1] == f"d.jsonl line {len(talks) + 1}: messages is null where a list of turns should be"
    assert run.exit_code == 1


@pytest.mark.parametrize("file", ["d.json", "d.jsonl", "d.csv", "d.parquet"])
def test_sharegpt_in_every_format(project: Project, file: str) -> None:
    talks: list[list[dict[str, str]]] = [
        [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}],
        [{"from": "human", "value": "hi"}],
    ]
    rows = [{"conversations": talk} for talk in talks]
    content = {
        "d.json": lambda: json.dumps(rows).encode(),
        "d.jsonl": lambda: jsonl(rows),
        "d.csv": lambda: csv_of([{"conversations": json.dumps(talk)} for talk in talks]),
        "d.parquet": lambda: parquet(pl.DataFrame(rows)),
    }[file]()
    run = loaded(project, file, content, 2)
    assert texts(run) == [("hi", "", "yo")]
    assert [position for position, _ in quarantine(run)] == [2]


# Trouble in JSON Lines: each case is a line between two good ones

BAD_LINES: dict[str, tuple[bytes, str | None]] = {
    "cut off": (b'{"instruction": "q", "out', "line 2: broken JSON"),
    "two objects": (b'{"instruction":"q","output":"a"} {"instruction":"q","output":"a"}', "line 2: broken JSON"),
    "a comma after": (b'{"instruction":"q","output":"a"},', "line 2: broken JSON"),
    "a number": (b"12", "line 2: a number where a row"),
    "a list": (b'["q", "a"]', "line 2: a list where a row"),
    "a text": (b'"q"', "line 2: a text where a row"),
    "not UTF-8": (b'{"instruction": "q\xff", "output": "a"}', "line 2: not UTF-8 (byte 19)"),
    "UTF-16 halves as UTF-8": (b'{"instruction": "q\xed\xa0\x80", "output": "a"}', "line 2: not UTF-8"),
    "a raw NUL": (b'{"instruction": "q\x00", "output": "a"}', "line 2: broken JSON"),
    "a raw tab": (b'{"instruction": "q\t", "output": "a"}', "line 2: broken JSON"),
    "nested too deeply": (b"[" * 100_000, "line 2: "),
    "20 MB": (b'{"instruction": "q", "output": "' + b"x" * 20_000_000 + b'"}', "more than 16 million characters"),
    "a number as instruction": (b'{"instruction": 5, "output": "a"}', "instruction: a number where a text should be"),
    "a list as response": (b'{"instruction": "q", "output": ["a"]}', "output: a list where a text should be"),
    "an object as input": (b'{"instruction": "q", "input": {"a": 1}, "output": "a"}', "input: an object where a text"),
    "true as response": (b'{"instruction": "q", "output": true}', "output: true or false where a text should be"),
    "NaN as response": (b'{"instruction": "q", "output": NaN}', "output: a number where a text should be"),
}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", BAD_LINES)
def test_a_bad_line_is_quarantined_and_its_neighbours_do_not(project: Project, trouble: str) -> None:
    content, reason = BAD_LINES[trouble]
    good = [line(ROWS[0]).encode(), line(ROWS[1]).encode()]
    run = loaded(project, "d.jsonl", good[0] + content + b"\n" + good[1], 3)
    assert texts(run) == [tuple(row.values()) for row in ROWS[:2]]
    ((position, said),) = quarantine(run)
    assert position == 2
    assert str(reason) in said
    assert run.exit_code == 1


def test_a_line_of_null_is_in_quarantine(project: Project) -> None:
    run = loaded(project, "d.jsonl", jsonl(ROWS[:1]) + b"null\n" + jsonl(ROWS[1:]), 4)
    assert texts(run) == [tuple(row.values()) for row in ROWS]
    assert [position for position, _ in quarantine(run)] == [2]


def test_a_bad_first_line_hides_no_column(project: Project) -> None:
    run = loaded(project, "d.jsonl", b"{oops\n" + jsonl(), 4)
    assert [position for position, _ in quarantine(run)] == [1]
    assert texts(run) == [tuple(row.values()) for row in ROWS]


def test_an_object_over_two_lines_is_two_broken_lines(project: Project) -> None:
    run = loaded(project, "d.jsonl", jsonl(ROWS[:1]) + b'{"instruction": "q",\n"output": "a"}\n' + jsonl(ROWS[1:]), 5)
    assert [position for position, _ in quarantine(run)] == [2, 3]


def test_nulls_and_missing_keys_are_rows_that_no_dataset_takes(project: Project) -> None:
    rows = [
        {"instruction": None, "output": "a"},
        {"output": "a"},
        {"instruction": "q"},
        {"instruction": "q", "output": None},
        {},
        ROWS[0],
    ]
    run = loaded(project, "d.jsonl", jsonl(rows), 6)
    assert texts(run) == [tuple(ROWS[0].values())]
    assert run.verdict == "warn"
    fates = run.fates.polars()
    assert fates.filter(pl.col("fate") == "removed_by_rule").height == 5
    assert all(list(reasons) for reasons in fates.filter(pl.col("fate") != "kept")["reasons"])


def test_lone_surrogates_become_the_replacement_character_and_nul_stays(project: Project) -> None:
    escaped = b'{"instruction": "half \\ud83d", "output": "whole \\ud83d\\ude00"}\n{"instruction": "nul \\u0000", "output": "a"}\n'
    run = loaded(project, "d.jsonl", escaped, 2)
    assert texts(run) == [("half \ufffd", "", "whole 😀"), ("nul \x00", "", "a")]


def test_the_last_of_two_equal_keys_counts(project: Project) -> None:
    run = loaded(project, "d.jsonl", b'{"instruction": "a", "instruction": "b", "output": "c"}\n', 1)
    assert texts(run) == [("b", "", "c")]


@pytest.mark.slow
def test_one_bad_line_in_a_hundred_thousand(project: Project) -> None:
    good = [line({"instruction": f"q{i}", "output": "a"}) for i in range(100_000)]
    run = loaded(project, "d.jsonl", "".join([*good[:77_777], "{oops\n", *good[77_777:]]), 100_001)
    assert quarantine(run) == [
        (77_778, "d.jsonl line 77778: broken JSON (Expecting property name enclosed in double quotes, column 2)")
    ]
    assert run.verdict == "warn"
    assert run.exit_code == 0


def test_ten_thousand_bad_lines_all_count(project: Project) -> None:
    run = loaded(project, "d.jsonl", jsonl(ROWS) + b"oops\n" * 10_000, 10_003)
    assert run.results["source"]["quarantined"] == 10_000
    assert len(run.results["source"]["quarantine_examples"]) == 20


def test_max_quarantined_decides_between_warning_and_failure(project: Project) -> None:
    content = jsonl(ROWS) + b"oops\n"
    assert loaded(project, "d.jsonl", content, 4, source="max_quarantined: 1").verdict == "warn"
    assert loaded(project, "d.jsonl", content, 4, source="max_quarantined: 25%").verdict == "warn"
    assert loaded(project, "d.jsonl", content, 4, source="max_quarantined: 24%").verdict == "fail"
    assert loaded(project, "d.jsonl", content, 4, source="max_quarantined: 0").verdict == "fail"


# Damaged compressed files


def _packed(kind: str, parts: Sequence[bytes]) -> tuple[bytes, int]:
    """The parts in one stream, and where the first of them is complete."""
    if kind == "gz":
        packer, mode = zlib.compressobj(wbits=31), zlib.Z_FULL_FLUSH
    else:
        packer, mode = zstandard.ZstdCompressor(write_checksum=True).compressobj(), zstandard.COMPRESSOBJ_FLUSH_BLOCK
    first = packer.compress(parts[0]) + packer.flush(mode)
    return first + b"".join(packer.compress(part) for part in parts[1:]) + packer.flush(), len(first)


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("cut", ["between two rows", "near the end"])
def test_a_truncated_compressed_file_is_refused(project: Project, kind: str, cut: str) -> None:
    parts = [jsonl([{**ROWS[0], "input": f"{part}-{i}"} for i in range(500)]) for part in range(2)]
    content, first = _packed(kind, parts)
    assert loaded(project, f"d.jsonl.{kind}", content, 1000).verdict == "pass"
    content = content[: first if cut == "between two rows" else -3]
    refused(project, f"d.jsonl.{kind}", content, rf"d\.jsonl\.{kind}: the compressed file is truncated or damaged")


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("file", ["d.jsonl", "d.csv"])
def test_a_compressed_file_with_a_changed_byte_is_refused(project: Project, file: str, kind: str) -> None:
    rows = [{**ROWS[0], "input": str(i * 7919 % 1000)} for i in range(1000)]
    content, _ = _packed(kind, [jsonl(rows) if file == "d.jsonl" else csv_of(rows)])
    for place in (len(content) // 2, -6 if kind == "gz" else -2):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        refused(project, f"{file}.{kind}", bytes(damaged), "the compressed file is truncated or damaged")


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_compressed_file_of_several_streams_is_read_to_its_end(project: Project, kind: str) -> None:
    pack = gzip.compress if kind == "gz" else zstandard.compress
    two = pack(jsonl(ROWS[:1])) + pack(jsonl(ROWS[1:]))
    assert len(texts(loaded(project, f"d.jsonl.{kind}", two, 3))) == 3
    assert len(texts(loaded(project, f"d.jsonl.{kind}", two + pack(b"oops\n"), 4))) == 3


# Trouble in JSON

REFUSED_JSON: dict[str, tuple[bytes, str]] = {
    "a missing comma": (b'[{"instruction":"q","output":"a"},\n {"instruction":"q" "output":"a"}]', "line 2, column 21"),
    "no end": (
        b'[{"instruction":"q","output":"a"},\n {"instruction":"q","output":"a"}',
        "broken JSON at line 2, column",
    ),
    "a trailing comma": (b'[{"instruction":"q","output":"a"},]', "broken JSON at line 1, column 35"),
    "something after": (b'[{"instruction":"q","output":"a"}]\n[]', "broken JSON at line 2, column 1"),
    "not UTF-8": (b'[{"instruction":"q","output":"a"},\n{"instruction":"\xff"}]', r"not UTF-8 \(line 2"),
    "nested too deeply": (b"[" * 100_000, "nested too deeply"),
    "a number": (b"5", "a number where a list of rows should be"),
    "null": (b"null", "null where a list of rows should be"),
    "an empty list": (b"[]", "no row"),
    "an empty object": (b"{}", "no row"),
    "a list of nulls": (b"[null, null]", "no row that can be read"),
    "two lists": (b'{"a": [{"instruction":"q"}], "b": [{"instruction":"q"}]}', "cannot tell which columns make a row"),
    "blank": (b" \n\n ", "broken JSON|no row"),
    "empty": (b"", "is an empty file"),
}


@pytest.mark.parametrize("trouble", REFUSED_JSON)
def test_broken_json_is_refused_with_the_place(project: Project, trouble: str) -> None:
    refused(project, "d.json", *REFUSED_JSON[trouble])


def test_items_that_are_not_rows_are_quarantined(project: Project) -> None:
    run = loaded(project, "d.json", json.dumps([ROWS[0], 5, None, [1], ROWS[1]]), 5)
    assert [reason for _, reason in quarantine(run)] == [
        f"d.json item {index}: {kind} where a row (an object) should be"
        for index, kind in ((2, "a number"), (3, "null"), (4, "a list"))
    ]


def test_a_big_row_of_a_list_is_quarantined(project: Project) -> None:
    big = {"instruction": "q", "output": "x" * 20_000_000}
    run = loaded(project, "d.json", json.dumps([ROWS[0], big, ROWS[1]]), 3)
    assert quarantine(run) == [(2, "d.json item 2: more than 16 million characters")]


# The bytes name the cases, and packed ones would hold the time: every worker must find the same names.
@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("d.jsonl", b"", "is an empty file"),
        ("d.jsonl", b"\n \n", "has no rows"),
        ("d.jsonl", b"null\n", "no row that can be read"),
        ("d.jsonl", b"{oops\n{oops\n", "no row that can be read"),
        ("d.jsonl", b'{"question": "q", "answer": "a"}\n', "cannot tell which columns.*question, answer"),
        ("d.jsonl.gz", b"no gzip", "the compressed file is truncated or damaged"),
        ("d.jsonl.zst", b"no zst", "the compressed file is truncated or damaged"),
        ("d.json.gz", gzip.compress(jsonl(), mtime=0)[:20], "the compressed file is truncated or damaged"),
        ("d.jsonl.gz", gzip.compress(b"", mtime=0), "no row"),
        ("d.csv", b"", "is an empty file"),
        ("d.csv", b"\n\n", "cannot tell which columns|no row"),
        ("d.csv", b"instruction,output\n", "has no rows"),
        ("d.csv", b"instruction;output\nq;a\n", "has one column, 'instruction;output': write delimiter: ';'"),
        ("d.parquet", b"", "is an empty file"),
        ("d.parquet", b"PAR1" + b"junk" * 50 + b"PAR1", "not a Parquet file"),
        ("d.parquet", parquet(pl.DataFrame(ROWS).clear()), "has no rows"),
        ("d.parquet", parquet(pl.DataFrame(ROWS))[:-9], "not a Parquet file"),
        ("d.data", b"x", "cannot tell the format"),
    ],
)
def test_files_without_rows_are_refused(project: Project, file: str, content: bytes, words: str) -> None:
    refused(project, file, content, words)


@pytest.mark.parametrize(("character", "written"), [(";", "';'"), ("|", r"'\|'"), ("\t", r'"\\t"')])
@pytest.mark.parametrize("fields", ["", ", fields: {instruction: q, response: a}"])
def test_a_csv_file_with_another_delimiter_is_refused_once(
    project: Project, character: str, written: str, fields: str
) -> None:
    content = f"q{character}a\nwhat is it{character}a thing\n"
    project.write("d.csv", content)
    text = f"version: 1\nname: t\nsources: [{{path: d.csv{fields}}}]\ndatasets: {{full: {{}}}}\n"
    project.write("recipe.yaml", text)
    with pytest.raises(
        RecipeError, match=rf"3:18: d\.csv has one column, 'q\{character}a': write delimiter: {written}$"
    ):
        project.run()


def test_a_file_that_is_not_there_is_refused_with_where_it_was_looked_for(project: Project) -> None:
    project.ask("gone.jsonl")
    with pytest.raises(RecipeError, match=rf"4:11: no file matches gone.jsonl \(looked in {project.folder}\)"):
        project.run()


def test_a_column_that_is_not_there_is_refused_with_a_suggestion(project: Project) -> None:
    fields = "fields: {instruction: instruktion, response: output}"
    words = "has no column 'instruktion', did you mean 'instruction'"
    refused(project, "d.jsonl", jsonl(), words, "5:27", source=fields)


# Trouble in CSV

_HEAD = "instruction,input,output\nq1,i,a1\n"
BAD_CSV: dict[str, tuple[bytes | str, list[tuple[int, str]], list[str]]] = {
    "too few values": ("q2,i\nq3,i,a3\n", [(2, "line 3: 2 values where the header has 3 columns")], ["q1", "q3"]),
    "too many values": ("q2,i,a,x\nq3,i,a3\n", [(2, "line 3: 4 values where the header has 3 columns")], ["q1", "q3"]),
    "text after a quote": ('q2,i,"a"x\nq3,i,a3\n', [(2, "line 3: broken CSV")], ["q1", "q3"]),
    "an open quote": (
        'q2,i,"open\nq3,i,a3\n\nq4,i,a4\n',
        [(2, "line 3: broken"), (3, "line 4: broken CSV .* line 3"), (4, "line 6: broken")],
        ["q1"],
    ),
    "a quote that a later one closes": (
        'q2,i,"open\nq3,i,"a3"\nq4,i,a4\n',
        [(2, "line 3: broken CSV"), (3, "line 4: broken CSV")],
        ["q1", "q4"],
    ),
    "not UTF-8": (
        b"q\xff,i,a2\nq3,i,a3\n",
        [(2, "line 3: not UTF-8: write encoding: cp1252, or the one it has")],
        ["q1", "q3"],
    ),
    "20 MB": ("q2,i," + "x" * 20_000_000 + "\nq3,i,a3\n", [(2, "line 3: more than 16 MiB")], ["q1", "q3"]),
    "40 MB": ("q2,i," + "x" * 40_000_000 + "\nq3,i,a3\n", [(2, "line 3: broken CSV")], ["q1", "q3"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", BAD_CSV)
def test_broken_csv_rows_are_quarantined(project: Project, trouble: str) -> None:
    tail, aside, kept = BAD_CSV[trouble]
    content = _HEAD.encode() + (tail if isinstance(tail, bytes) else tail.encode())
    run = loaded(project, "d.csv", content, len(aside) + len(kept))
    assert [row[0] for row in texts(run)] == kept
    for (position, reason), (wanted, words) in zip(quarantine(run), aside, strict=True):
        assert position == wanted
        assert re.search(words, reason), reason


def test_quotes_newlines_and_nul_inside_csv_values(project: Project) -> None:
    content = _HEAD + '"q ""2""",,"a\n2"\nq\x003,i,a"3\n\nNULL,null,#\n'
    run = loaded(project, "d.csv", content, 4)
    assert texts(run)[1:] == [('q "2"', "", "a\n2"), ("q\x003", "i", 'a"3'), ("NULL", "null", "#")]


def test_a_ragged_row_far_below_the_sample(project: Project) -> None:
    body = "".join(f"q{i},i,a{i}\n" for i in range(30_000))
    run = loaded(project, "d.csv", _HEAD + body + "short,i\n" + body.replace("q", "z"), 60_002)
    assert quarantine(run) == [(30_002, "d.csv line 30003: 2 values where the header has 3 columns")]


def test_numbers_and_dates_in_csv_stay_the_texts_they_were(project: Project) -> None:
    run = loaded(project, "d.csv", "instruction,output\n007,1.50\n2020-01-01,true\n", 2)
    assert texts(run) == [("007", "", "1.50"), ("2020-01-01", "", "true")]


# Trouble in Parquet


@pytest.mark.parametrize("values", [[1, 2], [b"x", b"y"], [["x"], ["y"]], [{"x": 1}, {"x": 2}]])
def test_a_parquet_column_of_another_type_is_no_text(project: Project, values: list[Any]) -> None:
    content = parquet(pl.DataFrame({"instruction": ["q1", "q2"], "output": values}))
    refused(project, "d.parquet", content, "column 'output'.*not texts: it cannot be the response", "4:5")


def test_a_damaged_parquet_page_names_the_file(project: Project) -> None:
    frame = pl.DataFrame({"instruction": [f"q{i}" for i in range(2000)], "output": [str(i) for i in range(2000)]})
    content = bytearray(parquet(frame))
    content[100:600] = b"\xff" * 500
    refused(project, "d.parquet", bytes(content), "d.parquet is damaged and cannot be read to its end")


def test_parquet_nulls_and_nul_characters(project: Project) -> None:
    frame = pl.DataFrame({"instruction": ["q", None, "nul \x00"], "output": ["a", "b", None]})
    run = loaded(project, "d.parquet", parquet(frame), 3)
    assert texts(run) == [("q", "", "a")]


# Ids


def _scores(run: Run) -> list[tuple[str, float]]:
    return sorted(run.grades.polars().select("id", "score").rows())


@pytest.mark.parametrize("kind", fast_first(1, ["jsonl", "csv", "parquet"]))
def test_copies_get_ordinals_and_keep_their_scores_in_any_order(project: Project, kind: str) -> None:
    rows = [{"instruction": "q", "input": "", "output": "a", "score": score} for score in (3.0, 1.0, 2.0)]
    rows += [{"instruction": f"q{i}", "input": "i", "output": "a", "score": float(i % 6)} for i in range(20)]
    pairs = []
    for order in (rows, rows[::-1], rows[11:] + rows[:11]):
        frame = pl.DataFrame(order)
        content = {"jsonl": lambda o=order: jsonl(o), "csv": lambda f=frame: f.write_csv().encode()}.get(
            kind, lambda f=frame: parquet(f)
        )()
        run = loaded(project, f"d.{kind}", content, 23, more="graders: {g: {column: score}}")
        pairs.append(_scores(run))
    assert pairs[0] == pairs[1] == pairs[2]
    ids = [row for row in pairs[0] if row[0].endswith(("-2", "-3"))]
    assert [score for _, score in ids] == [2.0, 3.0]


def test_an_id_does_not_depend_on_the_format(project: Project) -> None:
    ids = set()
    for file, content in (("d.jsonl", jsonl()), ("d.csv", csv_of()), ("d.parquet", parquet(pl.DataFrame(ROWS)))):
        ids.add(tuple(sorted(loaded(project, file, content, 3).datasets["full"].polars()["id"])))
    assert len(ids) == 1


# Carried columns


def test_text_among_the_first_scores_leaves_those_rows_unscored(project: Project) -> None:
    rows = [{**ROWS[0], "instruction": f"q{i}", "s": s} for i, s in enumerate([1, 2.5, "x", None])]
    run = loaded(project, "d.jsonl", jsonl(rows), 4, more="graders: {g: {column: s}}")
    assert run.grades.polars().sort("n").select("score", "reason").rows() == [
        (1.0, None),
        (2.5, None),
        (None, "not a number: x"),
        (None, "no score in the column"),
    ]


@pytest.mark.parametrize("place", fast_first(1, [29_999, 0, 29_000]))
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_one_text_among_numbers_leaves_its_row_unscored_wherever_it_is(project: Project, kind: str, place: int) -> None:
    rows = [{"instruction": f"q{i}", "output": "a", "s": "N/A" if i == place else 1} for i in range(30_000)]
    body = "".join(f"{row['instruction']},a,{row['s']}\n" for row in rows)
    content = jsonl(rows) if kind == "jsonl" else b"instruction,output,s\n" + body.encode()
    run = loaded(project, f"d.{kind}", content, 30_000, more="graders: {g: {column: s, scale: {min: 0, max: 5}}}")
    assert quarantine(run) == []
    grader = run.results["graders"]["g"]
    assert (grader["scored"], grader["unscored"]) == (29_999, 1)
    assert grader["unscored_reasons"] == {"not a number: N/A": 1}
    assert len(run.datasets["full"]) == 30_000


def test_a_carried_column_that_is_not_there_is_refused_with_a_suggestion(project: Project) -> None:
    project.jsonl("d.jsonl", [{**ROWS[0], "rating": 3}])
    project.ask("d.jsonl", "graders: {g: {column: ratin}}")
    with pytest.raises(RecipeError, match=r"5:23: no source has a column 'ratin', did you mean 'rating'\?"):
        project.run()


# Anything at all

_BYTES = st.binary(max_size=200)
_NEARLY = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b'{"instruction":', b'"output":', b'"q"', b"}", b"{", b"[", b"]", b",", b"\n", b"\r", b'"']),
        st.just(jsonl(ROWS[:1])),
        st.just(b"instruction,output\n"),
        st.just(b"q,a\n"),
    ),
    max_size=12,
).map(b"".join)
_ANYTHING = settings(
    max_examples=examples(35), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def _run_of(folder: Path, file: str, content: bytes) -> Run | None:
    """The run of a file of these bytes; None where it was refused. Anything but an AlpaqualError goes through."""
    project = Project(folder)
    project.write(file, content)
    project.ask(file)
    try:
        return project.run()
    except AlpaqualError as error:
        assert str(error)
        return None


@_ANYTHING
@given(content=st.one_of(_BYTES, _NEARLY))
@pytest.mark.parametrize("file", ["d.json", "d.csv"])
def test_any_bytes_give_a_run_or_an_alpaqual_error(tmp_path_factory: pytest.TempPathFactory, file: str, content: bytes) -> None:  # fmt: skip
    run = _run_of(tmp_path_factory.mktemp("any"), file, content)
    if run is not None:
        source = run.results["source"]
        assert_nothing_lost(run, source["rows"] + source["quarantined"])


@_ANYTHING
@given(lines=st.lists(st.one_of(_BYTES, _NEARLY, st.just(jsonl(ROWS[:1]))), max_size=6))
def test_lines_of_any_bytes_add_up(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    content = b"\n".join([*lines, jsonl(ROWS[:1])])
    run = _run_of(tmp_path_factory.mktemp("any"), "d.jsonl", content)
    if run is not None:
        assert_nothing_lost(run, sum(1 for each in content.split(b"\n") if each.strip()))
