"""Arrow files, and folders that the datasets library saved, as sources."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pytest
from conftest import Project
from test_reading_cases import quarantine, rows_of

from alpaqual.errors import RecipeError
from alpaqual.sources import open_source
from alpaqual.values import ReadOptions

ROWS = [{"instruction": f"q{n}", "output": f"a{n}"} for n in range(10)]


def arrow(path: Path, table: pa.Table, *, stream: bool = True, batch: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)


def saved(folder: Path, shards: list[list[dict[str, Any]]], **state: Any) -> None:
    """A folder as `Dataset.save_to_disk` writes it; the names of its files do not sort in the order of the shards."""
    names = [f"data-{len(shards) - n:05}-of-{len(shards):05}.arrow" for n in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        arrow(folder / name, pa.Table.from_pylist(rows))
    listed = {"_data_files": [{"filename": name} for name in names], "_split": None, **state}
    (folder / "state.json").write_text(json.dumps(listed))


def values(file: Path, **options: Any) -> list[dict[str, Any] | None]:
    return [row for row, _ in open_source("arrow", ReadOptions(**options)).rows(str(file))]


@pytest.mark.parametrize("stream", [True, False])
def test_an_arrow_file_is_a_source_in_both_formats(project: Project, stream: bool) -> None:
    arrow(project.folder / "d.arrow", pa.Table.from_pylist(ROWS), stream=stream)
    project.ask("d.arrow")
    assert rows_of(project.run()) == [(f"q{n}", "", f"a{n}") for n in range(10)]


def test_shards_are_read_in_the_order_of_state_json(project: Project) -> None:
    saved(project.folder / "saved", [ROWS[:4], ROWS[4:5], ROWS[5:]])
    arrow(project.folder / "saved" / "cache-0.arrow", pa.Table.from_pylist(ROWS))
    project.ask("saved")
    assert rows_of(project.run()) == [(f"q{n}", "", f"a{n}") for n in range(10)]


def test_a_split_of_a_saved_dictionary_is_named(project: Project) -> None:
    saved(project.folder / "saved" / "train", [ROWS[:4]], _split="train")
    saved(project.folder / "saved" / "test", [ROWS[4:]], _split="test")
    project.write("saved/dataset_dict.json", '{"splits": ["train", "test"]}')
    project.ask("saved", source="split: test")
    assert rows_of(project.run()) == [(f"q{n}", "", f"a{n}") for n in range(4, 10)]
    for split, words in (
        ("", "several splits: write 'split:' with one of train, test"),
        ("split: dev", "no split 'dev': write 'split:'"),
    ):
        project.ask("saved", source=split)
        with pytest.raises(RecipeError, match=words):
            project.run()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"_indices_data_files": [{"filename": "i.arrow"}]}, r"indices mapping: call flatten_indices\(\)"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "state.json names gone.arrow, which is not there"),
        ({"_data_files": [{"filename": "../../secret.arrow"}]}, "not the name of a file inside the folder"),
        ({"_data_files": []}, "it names no files"),
    ],
)
def test_a_saved_folder_that_cannot_be_read_says_why(project: Project, state: dict[str, Any], words: str) -> None:
    saved(project.folder / "saved", [ROWS], **state)
    project.ask("saved")
    with pytest.raises(RecipeError, match=words):
        project.run()


def test_a_folder_of_other_files_is_named_by_its_files(project: Project) -> None:
    project.jsonl("some/d.jsonl", ROWS)
    project.ask("some")
    with pytest.raises(RecipeError, match=r"some is a folder: name its files, such as some/\*\.jsonl"):
        project.run()


def test_split_is_no_option_of_other_formats(project: Project) -> None:
    project.ask("d.csv", source="split: train")
    assert "'split' is no option of csv" in project.command("check", project.recipe).stderr


def test_values_of_every_type_come_through(tmp_path: Path) -> None:
    day = datetime.date(2024, 2, 29)
    table = pa.table(
        {
            "large": pa.array(["ü\x00\r\n", None], pa.large_string()),
            "view": pa.array(["a", None], pa.string_view()),
            "words": pa.array(["x", "x"]).dictionary_encode(),
            "big": pa.array([2**64 - 1, None], pa.uint64()),
            "half": pa.array([0.5, float("inf")]),
            "truth": pa.array([True, None]),
            "nothing": pa.nulls(2),
            "nested": pa.array(
                [[{"a": 1, "b": None}], []], pa.list_(pa.struct([("a", pa.int8()), ("b", pa.string())]))
            ),
            "days": pa.array([[day], None], pa.large_list(pa.date32())),
            "when": pa.array([1, None], pa.timestamp("ns")),
            "money": pa.array([decimal.Decimal("1.50"), None]),
            "bytes": pa.array([b"\xff", None]),
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        }
    )
    arrow(tmp_path / "d.arrow", table)
    first, second = values(tmp_path / "d.arrow")
    assert first == {
        "large": "ü\x00\r\n",
        "view": "a",
        "words": "x",
        "big": 2**64 - 1,
        "half": 0.5,
        "truth": True,
        "nothing": None,
        "nested": [{"a": 1, "b": None}],
        "days": ["2024-02-29"],
        "when": "1970-01-01 00:00:00.000000001",
        "money": 1.5,
        "bytes": "/w==",
        "map": {"k": 1},
    }
    assert second is not None
    assert {key for key, value in second.items() if value is not None} == {"words", "half", "nested"}


def test_json_columns_are_values(tmp_path: Path) -> None:
    texts = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"x": 1}', '"t"']))
    arrow(tmp_path / "d.arrow", pa.table({"m": pa.ListArray.from_arrays(pa.array([0, 2, 2], pa.int32()), texts)}))
    assert values(tmp_path / "d.arrow") == [{"m": [{"x": 1}, "t"]}, {"m": []}]


def test_a_row_that_cannot_be_read_is_in_quarantine_with_its_row(project: Project) -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb")]
    )
    saved(project.folder / "saved", [ROWS])
    arrow(project.folder / "saved" / "data-00001-of-00001.arrow", pa.table({"instruction": ["q"] * 3, "output": bad}))
    project.ask("saved", source="max_quarantined: 50%")
    run = project.run()
    assert rows_of(run) == [("q", "", "a"), ("q", "", "b")]
    assert quarantine(run) == ["data-00001-of-00001.arrow row 2: output: not UTF-8"]


def test_a_number_in_place_of_a_text_is_in_quarantine_with_its_row(project: Project) -> None:
    arrow(project.folder / "d.arrow", pa.table({"instruction": ["q", "r"], "output": pa.array([None, [1]])}))
    project.ask("d.arrow", source="max_quarantined: 50%")
    assert quarantine(project.run()) == ["d.arrow row 2: output: a list where a text should be"]


def test_a_row_of_more_bytes_than_allowed_is_in_quarantine(tmp_path: Path) -> None:
    arrow(tmp_path / "d.arrow", pa.table({"t": ["x" * 200, "y"]}))
    assert values(tmp_path / "d.arrow", max_row_bytes=100) == [None, {"t": "y"}]


@pytest.mark.parametrize("stream", [True, False])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, stream: bool) -> None:
    file = tmp_path / "d.arrow"
    arrow(file, pa.Table.from_pylist(ROWS), stream=stream)
    whole = file.read_bytes()
    for end in range(1, len(whole), 7):
        file.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"truncated|not an Arrow file"):
            values(file)


def test_what_the_datasets_library_writes_is_read(project: Project) -> None:
    datasets = pytest.importorskip("datasets")
    whole = datasets.Dataset.from_list(ROWS)
    whole.select([7, 2, 5]).save_to_disk(str(project.folder / "saved"), num_shards=2)
    datasets.DatasetDict({"train": whole}).save_to_disk(str(project.folder / "splits"))
    project.ask("saved")
    assert [row[0] for row in rows_of(project.run())] == ["q7", "q2", "q5"]
    project.ask("splits", source="split: train")
    assert rows_of(project.run()) == [(f"q{n}", "", f"a{n}") for n in range(10)]


def test_without_pyarrow_the_machine_lacks_something(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    pl.DataFrame(ROWS).write_ipc_stream(project.folder / "d.arrow")
    project.ask("d.arrow")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    result = project.command("run", project.recipe)
    assert result.returncode == 3
    assert "pip install 'alpaqual[arrow]'" in result.stderr
