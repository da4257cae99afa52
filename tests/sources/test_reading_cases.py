"""Small files after public reports of people whose data was read wrongly elsewhere; each has what is right."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import zstandard
from conftest import Project

import alpaqual
from alpaqual.api import Run
from alpaqual.errors import RecipeError

pytestmark = pytest.mark.slow


def rows_of(run: Run) -> list[tuple[str, str, str]]:
    """(instruction, input, response) of every row, in the order of the source."""
    table = alpaqual.api.Rows(run.folder / "tables" / "rows.parquet").polars().sort("n")
    return table.select("instruction", "input", "response").rows()


def quarantine(run: Run) -> list[str]:
    table = alpaqual.api.Rows(run.folder / "tables" / "quarantine.parquet").polars()
    return table.sort("source", "position")["reason"].to_list()


def read(project: Project, file: str, content: str | bytes, source: str = "", more: str = "") -> Run:
    project.write(file, content)
    project.ask(file, source=f"max_quarantined: 50%\n{source}", more=more)
    return project.run()


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


ROW = {"instruction": "q", "output": "the real answer"}
HIVE: dict[str, str | bytes] = {
    "a.csv": "instruction,output\nq,the real answer\n",
    "a.tsv": "instruction\toutput\nq\tthe real answer\n",
    "a.jsonl": json.dumps(ROW) + "\n",
    "a.json": json.dumps([ROW]),
    "a.parquet": parquet(pl.DataFrame([ROW])),
}


@pytest.mark.parametrize("file", HIVE)
@pytest.mark.parametrize("above", [False, True])
def test_a_folder_called_column_value_is_no_column(tmp_path: Path, file: str, above: bool) -> None:
    project = Project(tmp_path / "output=v2") if above else Project(tmp_path)
    run = read(project, file if above else f"output=v2/{file}", HIVE[file])
    assert rows_of(run) == [("q", "", "the real answer")]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_partitions_are_columns_where_the_recipe_asks(project: Project, kind: str) -> None:
    content = HIVE[f"a.{kind}"]
    for lang in ("en", "d%C3%A9"):
        project.write(f"data/lang={lang}/a.{kind}", content)
    project.ask(f"data/*/*.{kind}", "categories: [{column: lang}]", source="partitions: true")
    run = project.run()
    assert {name: found["rows"] for name, found in run.results["categories"].items()} == {"en": 1, "dé": 1}
    project.ask(f"data/*/*.{kind}", "categories: [{column: lang}]")
    with pytest.raises(RecipeError, match="no source has a column 'lang'"):
        project.run()


WIDTHS = {
    "rows of another width": (
        "q1,,a1\nq2,,a2\ninstruction,input,output,model\nq3,,a3,m\n",
        [("q1", "", "a1"), ("q2", "", "a2")],
        ["d.csv line 4: 4 values", "d.csv line 5: 4 values"],
    ),
    "a wide last line": ("q,i,o\na,b,c,d\n", [("q", "i", "o")], ["d.csv line 3: 4 values"]),
    "an empty value too many": ("q,i,o\na,b,c,\n", [("q", "i", "o")], ["d.csv line 3: 4 values"]),
    "no comment": ("q1,i,use C# here\n# note\n", [("q1", "i", "use C# here")], ["d.csv line 3: 1 values"]),
    "a comment sign": ("#q1,#i,#o\n", [("#q1", "#i", "#o")], []),
    "null and a broken line": (
        "What does it print?,,null\n1,2,3,4\nq,i,o\n",
        [("What does it print?", "", "null"), ("q", "i", "o")],
        ["d.csv line 3: 4 values"],
    ),
    "null alone": ("What does it print?,,null\nq,i,o\n", [("What does it print?", "", "null"), ("q", "i", "o")], []),
    "spaces and quotes": ('a, "b" ,"c"\n x , "y",z\n', [("a", ' "b" ', "c"), (" x ", ' "y"', "z")], []),
}


@pytest.mark.parametrize("case", WIDTHS)
def test_a_line_of_csv_concerns_itself_alone(project: Project, case: str) -> None:
    body, wanted, aside = WIDTHS[case]
    run = read(project, "d.csv", f"instruction,input,output\n{body}")
    assert [tuple(text or "" for text in row) for row in rows_of(run)] == wanted
    assert [reason.startswith(start) for reason, start in zip(quarantine(run), aside, strict=True)] == [True] * len(
        aside
    )


def test_no_line_above_a_header_is_skipped(project: Project) -> None:
    project.write("d.csv", "an export of today\ninstruction,output\nq,a\n")
    project.ask("d.csv")
    with pytest.raises(RecipeError, match="line 2: 2 values where the header has 1 col"):
        project.run()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("broken", ["", "{oops\n"])
def test_a_key_seen_once_among_20481_lines_is_a_column(project: Project, first: bool, broken: str) -> None:
    lines = [json.dumps({"instruction": f"q{n}", "output": "a"}) + "\n" for n in range(20_480)]
    late = json.dumps({"instruction": "late", "input": "IN", "output": "a", "mark": "x"}) + "\n"
    text = "".join([late, *lines] if first else [*lines, late]) + broken
    run = read(project, "d.jsonl", text, more="categories: [{column: mark}]")
    assert ("late", "IN", "a") in rows_of(run)
    assert run.results["categories"]["x"]["rows"] == 1


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("broken", [False, True])
def test_whole_numbers_above_2_to_the_53_are_exact(project: Project, kind: str, broken: bool) -> None:
    numbers = (9007199254740992, 9007199254740993)
    rows = [{"instruction": f"q{n}", "output": "b", "uid": n} for n in numbers]
    content: dict[str, Callable[[], str | bytes]] = {
        "jsonl": lambda: "".join(json.dumps(row) + "\n" for row in rows) + ("{oops\n" if broken else ""),
        "csv": lambda: pl.DataFrame(rows).write_csv() + ("x\n" if broken else ""),
        "parquet": lambda: parquet(pl.DataFrame(rows)),
    }
    rules = "rules: [{id: unique, column: uid, check: unique, warn: 0}]"
    run = read(project, f"d.{kind}", content[kind](), more=f"{rules}\ncategories: [{{column: uid}}]")
    assert run.results["rules"][0]["failing_rows"] == 0
    assert set(run.results["categories"]) == {str(n) for n in numbers}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ('{"instruction": "q", "output": 5}', "b2.jsonl line 3: output: a number where a text should be"),
        ('{"instruction": "q", "output": 5', "b2.jsonl line 3: broken JSON"),
        ('{"instruction": ["q"], "output": "5"}', "b2.jsonl line 3: instruction: a list where a text should be"),
    ],
)
def test_where_a_row_in_quarantine_came_from(project: Project, bad: str, words: str) -> None:
    good = json.dumps(ROW) + "\n"
    project.write("b1.jsonl", good * 2)
    project.write("b2.jsonl", f"{good}\n{bad}\n{good}")
    project.ask("b*.jsonl", source="max_quarantined: 50%")
    (reason,) = quarantine(project.run())
    assert reason.startswith(words)


# Options

CSV = "instruction,input,output\nq,i,ü\n"
TEXT = {
    "delimiter": ("d.csv", CSV.replace(",", ";"), 'delimiter: ";"', ("q", "i", "ü")),
    "delimiter of tsv": ("d.tsv", CSV.replace(",", "|"), 'delimiter: "|"', ("q", "i", "ü")),
    "quote": ("d.csv", CSV.replace("i,ü", "'i,\"',ü"), 'quote: "\'"', ("q", 'i,"', "ü")),
    "no quote": ("d.csv", CSV.replace("i,ü", 'i",ü'), 'quote: ""', ("q", 'i"', "ü")),
    "encoding": ("d.csv", CSV.encode("latin-1"), "encoding: latin-1", ("q", "i", "ü")),
    "utf-16": ("d.csv", CSV.encode("utf-16"), "encoding: utf-16", ("q", "i", "ü")),
    "null": ("d.csv", CSV.replace("i,", "NA,"), "null: [NA]", ("q", "", "ü")),
    "format": ("d.txt", CSV, "format: csv", ("q", "i", "ü")),
}


@pytest.mark.parametrize("option", TEXT)
def test_options_of_text(project: Project, option: str) -> None:
    file, content, source, wanted = TEXT[option]
    run = read(project, file, content, source)
    assert [tuple(text or "" for text in row) for row in rows_of(run)] == [wanted]


def test_a_file_without_a_header(project: Project) -> None:
    fields = "header: false\nfields: {instruction: column0, response: column2}"
    assert rows_of(read(project, "d.csv", "q,i,a\nq2,i,a2\n", fields)) == [("q", "", "a"), ("q2", "", "a2")]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_row_of_more_bytes_than_the_recipe_allows_is_in_quarantine(project: Project, kind: str) -> None:
    long = {**ROW, "output": "x" * 200}
    content = {
        "jsonl": json.dumps(ROW) + "\n" + json.dumps(long) + "\n",
        "csv": f"instruction,output\nq,a\nq,{'x' * 200}\n",
    }
    run = read(project, f"d.{kind}", content[kind], "max_row_bytes: 150")
    assert len(rows_of(run)) == 1
    assert quarantine(run) == [f"d.{kind} line {2 if kind == 'jsonl' else 3}: more than 150 bytes"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("delimiter: ;", "'delimiter' is no option of jsonl"),
        ("encoding: latin-1", "'encoding' is no option of jsonl"),
        ("format: csv\nencoding: klingon", "Python has no text encoding 'klingon'"),
        ("format: csv\nquote: ','", "the delimiter and the quote are the same"),
    ],
)
def test_options_that_cannot_be_are_refused_before_data_is_read(project: Project, source: str, words: str) -> None:
    project.ask("gone.jsonl", source=source)
    result = project.command("check", project.recipe)
    assert result.returncode == 2
    assert words in result.stdout + result.stderr


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d.csv", content)
    return buffer.getvalue()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda content: gzip.compress(content),
    "zst": lambda content: zstandard.compress(content),
    "bz2": lambda content: bz2.compress(content),
    "xz": lambda content: lzma.compress(content),
    "zip": zipped,
}


@pytest.mark.parametrize("named", ["d.csv.{0}", "d.csv"])
@pytest.mark.parametrize("kind", PACK)
def test_compression_goes_by_content_and_by_name(project: Project, kind: str, named: str) -> None:
    content = PACK[kind](CSV.encode())
    assert rows_of(read(project, named.format(kind), content)) == [("q", "i", "ü")]
    project.write(named.format(kind), content[:-5])
    with pytest.raises(RecipeError, match="truncated or damaged"):
        project.run()


def test_a_zip_of_several_files_is_refused(project: Project) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", CSV)
        archive.writestr("b.csv", CSV)
    project.write("d.csv.zip", buffer.getvalue())
    project.ask("d.csv.zip")
    with pytest.raises(RecipeError, match="the zip holds 2 files"):
        project.run()


NUMBERS = [float("nan"), float("inf"), float("-inf"), 4.5, 1.0, None]
SCORED = [{"instruction": f"q{n}", "output": "b", "score": value} for n, value in enumerate(NUMBERS)]


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
@pytest.mark.parametrize("broken", [False, True])
def test_a_number_that_is_none_fails_every_comparison_and_is_no_score(
    project: Project, kind: str, broken: bool
) -> None:
    content: dict[str, Callable[[], str | bytes]] = {
        "jsonl": lambda: "".join(json.dumps(row) + "\n" for row in SCORED) + ("{oops\n" if broken else ""),
        "json": lambda: json.dumps([*SCORED, 1] if broken else SCORED),
        "csv": lambda: pl.DataFrame(SCORED).write_csv() + ("x\n" if broken else ""),
        "parquet": lambda: parquet(pl.DataFrame(SCORED)),
    }
    rules = """rules:
  - {id: greater, column: score, check: {greater_than: 4}, warn: 99}
  - {id: less, column: score, check: {less_than: 2}, warn: 99}
  - {id: range, column: score, check: {in_range: {min: 4, max: 5}}, warn: 99}
  - {id: where, where: score >= 4, warn: 99}
  - {id: below, where: 2 >= score * 1, warn: 99}
categories: [{category: high, where: score > 4}]
graders: {g: {column: score, scale: {min: 0, max: 5}}}"""
    run = read(project, f"d.{kind}", content[kind](), more=rules)
    found = {rule["id"]: rule["failing_rows"] for rule in run.results["rules"]}
    assert found == {"greater": 3, "less": 3, "range": 4, "where": 3, "below": 3}
    assert run.results["categories"]["high"]["rows"] == 2
    reasons = {"no score in the column": 1, "not a number: nan": 1, "out of scale": 2}
    assert run.results["graders"]["g"]["unscored_reasons"] == reasons


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("What is C?", "What is C++?", False),
        ("What is C?", "What is C#?", False),
        ("C++", "C#", False),
        ("\u0915\u093f", "\u0915\u0940", False),  # vowel signs of Devanagari
        ("\u0e01\u0e34\u0e19", "\u0e01\u0e31\u0e19", False),  # vowel signs of Thai
        ("\u05e9\u05c1", "\u05e9\u05c2", False),  # points of Hebrew
        ("i like \U0001f436", "i like \U0001f431", False),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\U0001f4bb", False),
        ("costs 5 \u20ac", "costs 5 $", False),
        ("caf\u00e9", "cafe\u0301", True),
        ("caf\u00e9", "cafe", False),
        ("Hello, World!", "hello world", True),
        ("\u4f60\u597d\u3002", "\u4f60\u597d", True),
    ],
)
def test_letters_of_all_scripts_tell_rows_apart(project: Project, first: str, second: str, alike: bool) -> None:
    rows = [{"instruction": text, "output": str(n)} for n, text in enumerate((first, second))]
    rules = "rules: [{id: same, check: {no_duplicates: {columns: [instruction], normalised: true}}, warn: 9}]"
    run = read(project, "d.jsonl", "".join(json.dumps(row) + "\n" for row in rows), more=rules)
    assert run.results["rules"][0]["failing_rows"] == int(alike)


def test_a_whole_number_above_2_to_the_53_is_compared_exactly(project: Project) -> None:
    rows = [{"instruction": f"q{n}", "output": "b", "uid": n} for n in (9007199254740992, 9007199254740993)]
    rules = "rules: [{id: one, column: uid, check: {equal_to: 9007199254740993}, warn: 9}]"
    run = read(project, "d.jsonl", "".join(json.dumps(row) + "\n" for row in rows), more=rules)
    assert run.results["rules"][0]["failing_rows"] == 1


PLACES: dict[str, tuple[str | bytes, str]] = {
    "csv": ("instruction,output\nq,a\n\nq,a,x\n", "line 4: 3 values where the header has 2 columns"),
    "tsv": ("instruction\toutput\nq\ta\nq\n", "line 3: 1 values where the header has 2 columns"),
    "json": (
        '[{"instruction": "q", "output": "a"}, {"instruction": "q", "output": true}]',
        "item 2: output: true or false",
    ),
    "jsonl": ('{"instruction": "q", "output": "a"}\n\n7\n', "line 3: a number where a row (an object) should be"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_a_row_in_quarantine_names_its_file_and_place(project: Project, kind: str) -> None:
    content, words = PLACES[kind]
    for file in ("a", "b"):
        project.write(f"{file}.{kind}", content)
    project.ask(f"./*.{kind}", source="max_quarantined: 50%")
    found = quarantine(project.run())
    assert [reason.startswith(f"{file}.{kind} {words}") for reason, file in zip(found, "ab", strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_null_in_place_of_a_row_is_in_quarantine(project: Project, kind: str) -> None:
    run = read(project, f"d.{kind}", f"[{json.dumps(ROW)}, null]" if kind == "json" else f"{json.dumps(ROW)}\nnull\n")
    assert rows_of(run) == [("q", "", "the real answer")]
    (reason,) = quarantine(run)
    assert "null where a row (an object) should be" in reason
