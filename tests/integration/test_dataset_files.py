"""Files of datasets: every format in every kind of file reads back as what was selected; splits; what training reads."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from conftest import Project
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tiers import examples

import alpaqual
from alpaqual.api import Run
from alpaqual.errors import MachineError, RecipeError

pytestmark = pytest.mark.slow

TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXT, inside, max_size=3),
    max_leaves=5,
)
OTHERS = st.fixed_dictionaries(
    {}, optional={"id": st.integers() | TEXT, "licence": VALUES, "meta": VALUES, "Meta": VALUES, "n": VALUES}
)
TRIPLES = st.builds(
    lambda instruction, given, output, others: {"instruction": instruction, **given, "output": output, **others},
    TEXT,
    st.fixed_dictionaries({}, optional={"input": TEXT}),
    TEXT,
    OTHERS,
)
CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TURN = st.builds(
    lambda role, text, more: {"role": role, "content": text, **more},
    st.sampled_from(["user", "assistant"]),
    TEXT,
    st.fixed_dictionaries({}, optional={"weight": st.sampled_from([0, 1, 0.5]), "name": TEXT}),
)
TALKS = st.builds(
    lambda turns, tools, others: {"messages": [*turns, {"role": "assistant", "content": "z"}], **tools, **others},
    st.lists(TURN | st.just({"role": "assistant", "content": None, "tool_calls": [CALL]}), max_size=4),
    st.fixed_dictionaries({}, optional={"tools": st.just([{"name": "f", "parameters": {"type": "object"}}])}),
    OTHERS,
)
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""An example is a run: shrinking one would take minutes."""
FILES = ("jsonl", "parquet", "datasets")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of a dataset, as other programs read them."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pa.parquet.read_table(path).to_pylist()
        return rows
    (state,) = [json.loads((path / "state.json").read_text())]
    with pa.memory_map(str(path / state["_data_files"][0]["filename"])) as stream:
        found: list[dict[str, Any]] = pa.ipc.open_stream(stream).read_all().to_pylist()
    return found


def same(value: Any, cell: Any) -> bool:
    """Whether a cell holds a value: as it is, or as its JSON text; a struct has null for keys of other rows."""
    if isinstance(cell, str) and not isinstance(value, str) and value is not None:
        return same(value, json.loads(cell))
    if isinstance(cell, str) and isinstance(value, str) and cell != value:
        return bool(json.loads(cell) == value)
    if isinstance(value, list) and isinstance(cell, list):
        return len(value) == len(cell) and all(map(same, value, cell))
    if isinstance(value, dict) and isinstance(cell, dict):
        return value.keys() <= cell.keys() and all(same(value.get(key), found) for key, found in cell.items())
    if isinstance(value, bool) or isinstance(cell, bool):
        return value is cell
    return bool(value == cell)


def all_same(values: list[Any], cells: list[Any]) -> None:
    assert len(values) == len(cells)
    for value, cell in zip(values, cells, strict=True):
        assert same(value, cell), (value, cell)


def as_turns(row: dict[str, Any]) -> dict[str, Any]:
    """Three texts as turns, beside the columns that are kept."""
    question = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": row["output"]}]
    return {"messages": turns, **{key: row[key] for key in row if key not in ("instruction", "input", "output")}}


def datasets(formats: tuple[str, ...]) -> str:
    listed = {
        f"{kind}-{file}": {**({} if kind == "default" else {"format": kind}), "file": file}
        for kind in formats
        for file in FILES
    }
    return json.dumps(listed)


def path_of(run: Run, dataset: str) -> Path:
    return run.folder / (run.results.datasets[dataset].file or f"datasets/{dataset}.jsonl")


@settings(max_examples=examples(10), deadline=None, suppress_health_check=list(HealthCheck), phases=_PHASES)
@given(triples=st.lists(TRIPLES, min_size=1, max_size=5), talks=st.lists(TALKS, min_size=1, max_size=5))
def test_every_format_in_every_file_reads_back(tmp_path_factory, triples, talks):
    project = Project(tmp_path_factory.mktemp("files"))
    project.write(".git/HEAD", "")
    project.jsonl("t.jsonl", triples)
    project.jsonl("c.jsonl", talks)
    names = ("default", "messages", "source")
    sources = "[{path: t.jsonl, fields: {instruction: instruction, input: input, response: output}, keep: all}, {path: c.jsonl, keep: all}]"
    if not any("input" in row for row in triples):
        sources = sources.replace("input: input, ", "")
    project.write("recipe.yaml", f"version: 1\nname: r\nsources: {sources}\ndatasets: {datasets(names)}\n")
    run = project.run()
    lines = read(path_of(run, "default-jsonl"))
    assert len(lines) == len(triples) + len(talks)
    turned = [row if "messages" in row else as_turns(row) for row in lines]
    for file in FILES:
        all_same(lines, read(path_of(run, f"default-{file}")))
        all_same(turned, read(path_of(run, f"messages-{file}")))
    records = read(path_of(run, "source-jsonl"))
    key = lambda row: json.dumps(row, sort_keys=True)  # noqa: E731
    assert sorted(map(key, records)) == sorted(map(key, [*triples, *talks]))
    for file in FILES[1:]:
        all_same(records, read(path_of(run, f"source-{file}")))
    for rows in run.datasets.values():
        assert len(rows) == len(lines) == rows.polars().height


def test_three_texts_are_alpaca_in_every_file(project):
    rows = [{"instruction": "q1", "input": "i", "output": "a1"}, {"instruction": "q2", "output": "a2"}]
    project.jsonl("data.jsonl", rows)
    project.ask(datasets=datasets(("default", "alpaca")))
    run = project.run()
    lines = read(path_of(run, "default-jsonl"))
    assert [list(line) for line in lines] == [["id", "instruction", "input", "output"]] * 2
    for name in run.results.datasets:
        assert read(path_of(run, name)) == lines


USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def test_a_question_and_its_answer_are_alpaca_and_other_conversations_are_refused_with_their_number(project):
    plain = [{"messages": [USER, ANSWER]}, {"messages": [{**USER, "content": "w"}, {**ANSWER, "weight": 1}]}]
    project.jsonl("data.jsonl", plain)
    project.ask(datasets="{d: {format: alpaca}}")
    rows = read(project.run().folder / "datasets" / "d.jsonl")
    assert {(row["instruction"], row["input"], row["output"]) for row in rows} == {("q", "", "a"), ("w", "", "a")}
    others = [
        [{"role": "system", "content": "s"}, USER, ANSWER],
        [USER, ANSWER, USER, ANSWER],
        [USER, {**ANSWER, "weight": 0}],
    ]
    project.jsonl("data.jsonl", [*plain, *({"messages": turns} for turns in others)])
    with pytest.raises(
        RecipeError, match="dataset d: 3 rows are conversations that instruction, input and output cannot"
    ):
        project.run()


def test_the_record_is_as_it_was_read(project):
    first = '{"instruction":"q","output":"a","n":1.50,"big":12345678901234567890123,"e":1E5,"u":"\\u00e9","x":{"b":[ ],"a":null}}'
    second = '{"output": "b",  "instruction": "p", "dup": 1, "dup": 2}'
    project.write("l.jsonl", f"\n{first}\r\n\n{second}")
    project.write("j.json", f'{{"about": 1, "rows": [\n  {first},\r\n\t{second[:-1]}\n}}]}}')
    project.write("c.csv", "instruction,output,n\nq,,1.50\np,b,\n")
    pa.parquet.write_table(
        pa.table(
            {
                "instruction": ["q", "p"],
                "output": ["a", "b"],
                "n": [[1], None],
                "b": [b"\x00", None],
                "w": [2**63 - 1, 0],
            }
        ),
        project.folder / "p.parquet",
    )
    sources = "[{path: l.jsonl}, {path: j.json}, {path: c.csv, null: []}, {path: p.parquet}]"
    project.write("recipe.yaml", f"version: 1\nname: r\nsources: {sources}\ndatasets: {{d: {{format: source}}}}\n")
    lines = (project.run().folder / "datasets" / "d.jsonl").read_text(encoding="utf-8").splitlines()
    inside = [f"{first}", '{"output":"b","instruction":"p","dup":1,"dup":2}']
    typed = [
        {"instruction": "q", "output": "a", "n": [1], "b": "AA==", "w": 2**63 - 1},
        {"instruction": "p", "output": "b", "n": None, "b": None, "w": 0},
    ]
    texts = [{"instruction": "q", "output": "", "n": "1.50"}, {"instruction": "p", "output": "b", "n": ""}]
    assert sorted(lines) == sorted(
        [first, second, *inside, *(json.dumps(row, separators=(",", ":")) for row in typed), *map(json.dumps, texts)]
    )


SPLIT = "{train: 0.5, validation: 0.25, test: 0.25, by: kind}"


def split_project(project: Project, more: str = "", settings: str = "") -> Project:
    rows = [{"instruction": f"q{n // 2}", "output": f"a{n}", "kind": "xy"[n // 2 % 2]} for n in range(80)]
    project.jsonl("data.jsonl", rows)
    project.ask(more=more, datasets=f"{{d: {{split: {SPLIT}{settings}}}, whole: {{}}}}")
    return project


def test_a_split_has_its_shares_of_each_kind_and_no_prompt_twice(project):
    run = split_project(project).run()
    result = run.results.datasets["d"]
    assert {name: found.rows for name, found in result.splits.items()} == {"train": 40, "validation": 20, "test": 20}
    files = {name: read(run.folder / found.file) for name, found in result.splits.items()}
    prompts = {name: {row["instruction"] for row in rows} for name, rows in files.items()}
    assert {name: len(rows) for name, rows in prompts.items()} == {"train": 20, "validation": 10, "test": 10}
    assert len(set.union(*prompts.values())) == 40
    odd = {name: sum(int(prompt[1:]) % 2 for prompt in rows) for name, rows in prompts.items()}
    assert odd == {"train": 10, "validation": 5, "test": 5}
    assert not (run.folder / "datasets" / "d.jsonl").exists()
    assert "| d | train | 40 | 50.0% |" in (run.folder / "report.md").read_text(encoding="utf-8")
    assert len(run.datasets["d"]) == 80 == run.datasets["d"].polars().height
    assert run.datasets["d"].split("test").polars()["id"].to_list() == [row["id"] for row in files["test"]]


def test_the_order_of_the_data_changes_no_split(project):
    first = split_project(project).run(out=project.folder / "first")
    lines = (project.folder / "data.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    project.write("data.jsonl", "".join(reversed(lines)))
    second = project.run(out=project.folder / "second")
    for file in sorted((first.folder / "datasets").iterdir()):
        assert (second.folder / "datasets" / file.name).read_bytes() == file.read_bytes()


def test_a_split_may_be_by_a_category_and_hold_a_column_together(project):
    rows = [{"instruction": f"q{n}", "output": "Java" if n < 40 else "C", "doc": n // 4} for n in range(80)]
    project.jsonl("data.jsonl", rows)
    more = "categories: [{category: java, keywords: [Java]}]"
    project.ask(more=more, datasets="{d: {split: {train: 0.8, test: 0.2, by: java, group: doc}, format: source}}")
    run = project.run()
    files = {name: read(run.folder / found.file) for name, found in run.results.datasets["d"].splits.items()}
    docs = {name: {row["doc"] for row in rows} for name, rows in files.items()}
    assert docs["train"].isdisjoint(docs["test"])
    for name, count in (("train", 32), ("test", 8)):
        found = sum(row["output"] == "Java" for row in files[name])
        assert abs(found - count) <= 4


def test_only_the_files_are_written_again_where_their_format_changes(project):
    split_project(project).run()
    project.ask(datasets="{d: {file: parquet, format: source}, whole: {}}")
    run = project.run()
    assert {outcome.stage: outcome.reused for outcome in run.outcomes} == {
        "loading": True,
        "selecting.d": True,
        "selecting.whole": True,
        "writing.d": False,
    }
    assert sorted(file.name for file in (run.folder / "datasets").iterdir()) == ["d.parquet", "whole.jsonl"]
    assert all(outcome.reused for outcome in project.run().outcomes)
    project.ask(datasets="{d: {file: datasets}, whole: {}}")
    assert sorted(file.name for file in (project.run().folder / "datasets").iterdir()) == ["d", "whole.jsonl"]
    project.ask(datasets="{d: {}, whole: {}}")
    assert sorted(file.name for file in (project.run().folder / "datasets").iterdir()) == ["d.jsonl", "whole.jsonl"]


TRAINING = "training: {base_model: org/model, datasets: [d], launch: {start: elsewhere}, exports: [trl], batch_size: 2, epochs: 1}"


@pytest.mark.parametrize(
    ("settings", "shown"),
    [("", "../../../datasets/d.{}.jsonl"), (", file: parquet", ""), (", format: source", ""), (", file: datasets", "")],
)
def test_training_reads_the_split_train_and_measures_the_split_validation(project, settings, shown):
    run = split_project(project, TRAINING, settings).run()
    job = json.loads((run.folder / "training" / "d" / "job.json").read_text())
    config = yaml.safe_load((run.folder / "exports" / "trl" / "d" / "config.yaml").read_text())
    expected = {"data": ("data/d.train.jsonl", "training_rows.jsonl", "train_file", 40)}
    expected["held_out"] = ("data/d.validation.jsonl", "held_out_rows.jsonl", "held_out_file", 20)
    for key, (inside, copy, word, rows) in expected.items():
        assert job[key] == inside
        trained = read(run.folder / "training" / "d" / inside)
        assert len(trained) == rows
        assert all(row.keys() >= {"id", "instruction", "input", "output"} for row in trained)
        assert config[word] == (shown.format(Path(inside).name.split(".")[1]) or copy)
        assert read(run.folder / "exports" / "trl" / "d" / config[word]) == trained


def test_a_dataset_that_is_held_out_goes_before_the_splits(project):
    more = TRAINING.replace("datasets: [d]", "datasets: [d], held_out: whole, method: full")
    run = split_project(project, more.replace(", exports: [trl]", "")).run()
    job = json.loads((run.folder / "training" / "d" / "job.json").read_text())
    assert (job["data"], job["held_out"]) == ("data/d.train.jsonl", "data/whole.jsonl")


WRONG = {
    "{d: {split: {train: 0.9}}}": "5:23: the shares add up to 0.9, not to 1",
    "{d: {split: {train: 0.1, test: 0.2, rest: 0.7}}, 'd.test': {}}": "the datasets 'd' and 'd.test' would both have the file d.test.jsonl",
    "{d: {split: {train: 1.5}}}": "the share of 'train' is a number above 0 and up to 1, not 1.5",
    "{d: {split: {train: many}}}": "the share of 'train' is a number above 0 and up to 1, not many",
    "{d: {split: {by: kind}}}": "the split names no shares",
    "{d: {split: {tr-ain: 1}}}": "'tr-ain' is no name of a split",
    "{d: {split: {train: 1, seed: x}}}": "'seed' is a whole number, not x",
    "{d: {split: {train: 1, by: 3}}}": "'by' is the name of a column, not 3",
    "{d: {split: {train: 1, by: knid}}}": "no column of a source and no category is called 'knid', did you mean 'kind'",
    "{d: {split: {train: 1, group: knid}}}": "no source has a column 'knid', did you mean 'kind'",
    "{d: {format: csv}}": "format",
}


@pytest.mark.parametrize("given", WRONG)
def test_what_is_wrong_with_a_file_is_an_error_before_the_run(project, given):
    split_project(project)
    project.ask(datasets=given)
    with pytest.raises(RecipeError, match=WRONG[given]):
        project.run()


def test_a_split_without_train_cannot_be_trained_on(project):
    split_project(project, TRAINING)
    project.ask(more=TRAINING, datasets="{d: {split: {a: 1}}}")
    with pytest.raises(RecipeError, match="has splits, and none of them is 'train'"):
        project.run()


def test_a_split_without_a_row_fails_the_run_unless_it_is_not_strict(project):
    project.jsonl("data.jsonl", [{"instruction": "q", "output": "a"}])
    project.ask(datasets="{d: {split: {train: 0.5, test: 0.5}}}")
    run = project.run()
    assert run.verdict == "fail"
    assert "no row is in the split" in run.results.reasons[0].text
    project.ask(datasets="{d: {strict: false, file: datasets, split: {train: 0.5, test: 0.5}}}")
    assert project.run().verdict == "warn"


def test_rows_of_one_group_are_in_one_split_and_the_run_says_so(project):
    project.jsonl("data.jsonl", [{"instruction": f"q{n}", "output": "a", "lang": "en"} for n in range(4)])
    project.ask(datasets="{d: {split: {group: lang, train: 0.5, test: 0.5}}}")
    assert re.search(
        "no row is in the split (train|test), of 4 rows: all are in (train|test), since rows with the same 'lang' stay together",
        project.run().results.reasons[0].text,
    )


def test_a_file_of_typed_columns_names_what_it_needs(project, monkeypatch):
    split_project(project, settings=", file: parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MachineError, match=r"^datasets\.d: file: parquet needs pyarrow: pip install 'alpaqual\[arrow\]'"
    ):
        project.run()


def test_a_saved_folder_is_a_source_again(project):
    run = split_project(project, settings=", file: datasets").run()
    folder = run.folder / "datasets" / "d"
    text = f"version: 1\nname: again\nsources: [{{path: {folder}, split: train}}]\ndatasets: {{full: {{}}}}\n"
    again = alpaqual.run(project.write("again.yaml", text))
    assert again.results.source.rows == 40


def test_the_datasets_library_opens_the_folder(project, monkeypatch):
    library = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(project.folder / "cache"))
    talk = [{"role": "assistant", "content": None, "tool_calls": [CALL]}, {**ANSWER, "weight": 0.5}]
    rows = [
        {"messages": [{**USER, "content": f"q{n}"}, *(talk if n % 2 else [ANSWER])], "tools": [{"name": "f"}]}
        for n in range(40)
    ]
    project.jsonl("data.jsonl", rows)
    project.ask(
        datasets="{d: {file: datasets, split: {train: 0.5, test: 0.5}}, w: {file: datasets}, p: {file: parquet}}"
    )
    run = project.run()
    opened = library.load_from_disk(str(run.folder / "datasets" / "d"))
    assert isinstance(opened, library.DatasetDict)
    assert list(opened) == ["train", "test"] == [str(opened[name].split) for name in opened]
    assert opened["train"].features == opened["test"].features
    whole = library.load_from_disk(str(run.folder / "datasets" / "w"))
    assert [row["id"] for row in whole] == sorted(row["id"] for split in opened.values() for row in split)
    parquet = library.load_dataset("parquet", data_files=str(run.folder / "datasets" / "p.parquet"), split="train")
    assert parquet.features == whole.features
    assert parquet.to_list() == whole.to_list()
    assert [json.loads(row["tools"]) for row in whole] == [[{"name": "f"}]] * 40
    assert {len(row["messages"]) for row in whole} == {2, 3}
    assert whole.map(lambda row: {"turns": len(row["messages"])})["turns"]


def test_numbers_and_objects_of_several_kinds_lose_nothing(project):
    rows = [
        {
            "instruction": "a",
            "output": "b",
            "v": 1,
            "w": 2**53 + 1,
            "big": 2**64,
            "m": {},
            "x": [1, "2"],
            "A": 1,
            "a": "A",
        },
        {"instruction": "c", "output": "d", "v": 1.5, "w": 0.5, "big": 1, "m": {"k": 1}, "x": None, "A": 2, "a": "B"},
    ]
    project.jsonl("data.jsonl", rows)
    project.ask(datasets="{d: {format: source, file: parquet}}")
    path = project.run().folder / "datasets" / "d.parquet"
    schema = {field.name: str(field.type) for field in pa.parquet.read_schema(path)}
    assert (schema["v"], schema["w"], schema["big"], schema["m"]) == ("double", "string", "string", "string")
    found = sorted(read(path), key=lambda row: row["instruction"])
    assert [json.loads(row["w"]) for row in found] == [2**53 + 1, 0.5]
    assert [json.loads(row["big"]) for row in found] == [2**64, 1]
    all_same(rows, found)
    assert duckdb.sql(f"SELECT COUNT(*) FROM '{path}'").fetchall() == [(2,)]
    assert not math.isnan(found[1]["v"])


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_split_may_be_by_what_alpaqual_or_a_folder_says_of_a_row(project, ending):
    for kind, count in (("a", 40), ("b", 20)):
        rows = [{"instruction": f"{kind}{n}", "output": "x"} for n in range(count)]
        path = project.folder / f"kind={kind}" / f"d.{ending}"
        path.parent.mkdir()
        if ending == "jsonl":
            project.jsonl(str(path), rows)
        elif ending == "csv":
            path.write_text("instruction,output\n" + "".join(f"{row['instruction']},x\n" for row in rows))
        else:
            pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    sources = f"[{{path: kind=*/d.{ending}, name: both, partitions: true}}, {{path: kind=b/d.{ending}, name: more}}]"
    by = {"folder": "kind", "source": "row.source"}
    splits = ", ".join(f"{name}: {{split: {{train: 0.75, test: 0.25, by: {column}}}}}" for name, column in by.items())
    whole = "record: {format: source, split: {train: 0.5, test: 0.5, by: kind}}"
    project.write("recipe.yaml", f"version: 1\nname: r\nsources: {sources}\ndatasets: {{{splits}, {whole}}}\n")
    run = project.run()
    tests = {name: read(run.folder / run.results.datasets[name].splits["test"].file) for name in by}
    # The rows of the source `more` are copies of those of `b`, so each of their prompts has two rows.
    assert abs(sum(row["instruction"].startswith("a") for row in tests["folder"]) - 10) == 0
    assert 18 <= len(tests["folder"]) <= 22
    assert 18 <= len(tests["source"]) <= 22
    records = [read(run.folder / found.file) for found in run.results.datasets["record"].splits.values()]
    assert [set(row) for rows in records for row in rows] == [{"instruction", "output"}] * 80


@pytest.mark.parametrize("file", FILES)
def test_a_dataset_without_rows_fails_the_run_and_has_files_that_can_be_read(project, file):
    project.jsonl("data.jsonl", [{"instruction": "q", "output": "a", "score": 1}])
    grader = "graders: {g: {column: score, scale: {min: 0, max: 5}}}"
    project.ask(more=grader, datasets=f"{{d: {{threshold: {{g: 5}}, format: source, file: {file}}}}}")
    run = project.run()
    assert run.verdict == "fail"
    assert read(path_of(run, "d")) == [] and len(run.datasets["d"]) == 0 == run.datasets["d"].polars().height


def test_the_sql_of_splits_pasted_into_duckdb_gives_the_same_splits(project, monkeypatch):
    split_project(project)
    project.ask(datasets="{d: {split: {train: 0.5, test: 0.5}}, e: {split: {a: 0.25, b: 0.75, by: row.source}}}")
    run = project.run()
    monkeypatch.chdir(run.folder)
    with duckdb.connect() as connection:
        connection.execute(Path("plan.sql").read_text(encoding="utf-8")).fetchall()
        for name, result in run.results.datasets.items():
            pasted = connection.execute(f'SELECT id, split FROM "splits.{name}"').fetchall()
            written = [
                (row["id"], split) for split, found in result.splits.items() for row in read(run.folder / found.file)
            ]
            assert sorted(pasted) == sorted(written)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert 'aria-label="Splits"' in page
